#!/usr/bin/env bash
# The main job end to end: a real cluster, a careless application on it, a scan, and
# an HTML report. Run by `make demo`, which has built everything before.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=demo
report=bulwark-report.html
trust=bulwark-trust.html
images=bulwark-images.html
bulwark=bin/bulwark
kubectl=bin/lab/kubectl
step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n== %s\n' "$*"; }

nodes=1
if [ "$(id -u)" != 0 ]; then
  nodes=0
  echo "demo: without root there are no nodes: the application is stored, not run (sudo make demo runs it)"
fi

step "a cluster as kubeadm makes it: bulwark up --name $name --profile kubeadm --nodes $nodes"
"$bulwark" down --name "$name" --ignore-not-found
exports=$("$bulwark" up --name "$name" --profile kubeadm --nodes "$nodes")
eval "$exports"

step "a small careless shop: kubectl apply -f lab/demo/manifests/"
"$kubectl" apply -f lab/demo/manifests/ | sed -n '$!d;s/.*/applied/p'
if [ "$nodes" != 0 ]; then
  for workload in shop/deployment/front shop/deployment/cart shop/deployment/worker payments/deployment/payments payments/statefulset/store tools/deployment/shopper; do
    "$kubectl" -n "${workload%%/*}" rollout status "${workload#*/}" --timeout=120s | tail -n 1
  done
  for _ in $(seq 50); do
    bought=$("$kubectl" get --raw /api/v1/namespaces/tools/services/shopper:80/proxy/metrics 2>/dev/null | sed -n 's/^purchases_total //p') || true
    if [ "${bought:-0}" -gt 0 ]; then
      echo "the shop is open: $bought purchases so far"
      break
    fi
    sleep 0.2
  done
fi

step "what is known of vulnerabilities: bulwark image db build --osv lab/demo/advisories/osv"
db=${KUBECONFIG%/*}/db
"$bulwark" image db build --db "$db" --osv lab/demo/advisories/osv

looks=(--host -o table -o "html=$report")
[ "$nodes" = 0 ] || looks=(--host --images --images-from bin/lab/images --db "$db" -o table -o "html=$report")
step "what is wrong with it: bulwark scan ${looks[*]}"
code=0
"$bulwark" scan "${looks[@]}" || code=$?
[ "$code" = 3 ] || { echo "demo: the scan ended with $code, want 3: something is broken in this cluster"; exit 1; }

front=bin/lab/images/shop-front-latest.tar
step "what to rebuild: bulwark image scan $front -o table -o html=$images"
code=0
"$bulwark" image scan "$front" --db "$db" -o table -o "html=$images" || code=$?
[ "$code" = 3 ] || { echo "demo: the scan of the image ended with $code, want 3: the shop has a library with a known fault"; exit 1; }

machines=${KUBECONFIG%/*}/machines
step "who trusts whom: bulwark pki check $KUBECONFIG $machines -o html=$trust"
code=0
"$bulwark" pki check "$KUBECONFIG" "$machines" -o "html=$trust" -o table | sed -n '1,/^AUTHORITIES/{/^AUTHORITIES/!p}' || code=$?
[ "$code" = 0 ] || [ "$code" = 3 ] || { echo "demo: pki check ended with $code"; exit 1; }

step "next"
cat <<END
open $report, $images and $trust in a browser
export KUBECONFIG=$KUBECONFIG
$bulwark explain pod.privileged     why, and how to fix it
$bulwark down --name $name            removes the cluster and everything it made
END
