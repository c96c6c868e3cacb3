package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

const (
	// userApprover judges requests for kubelets' serving certificates; the
	// objects that let it are in objects/hardened.yaml.
	userApprover = "bulwark:kubelet-serving-approver"
	approverFile = "kubelet-serving-approver.conf"
	// judgeAgain is how soon a request is looked at again whose node was not
	// registered yet.
	judgeAgain = 300 * time.Millisecond
)

// approve judges what kubelets ask for, for as long as the owner lives.
func (o *owner) approve(ctx context.Context) {
	for ctx.Err() == nil {
		if err := o.followRequests(ctx); err != nil && ctx.Err() == nil {
			o.log.Debug("watching certificate requests", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain):
		}
	}
}

func (o *owner) followRequests(ctx context.Context) error {
	// Read anew each time, since certificates are renewed.
	file := o.state.Topology.of(controlPlane)[0].file(kubernetesDir + "/" + approverFile)
	config, err := clientcmd.BuildConfigFromFlags(hostServer(o.state.APIPort), file)
	if err != nil {
		return err
	}
	config.UserAgent = userApprover
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	w, err := client.CertificatesV1().CertificateSigningRequests().Watch(ctx, metav1.ListOptions{
		ResourceVersion: "0",
		FieldSelector:   fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName).String(),
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	waiting := map[string]*certificatesv1.CertificateSigningRequest{}
	again := time.NewTicker(judgeAgain)
	defer again.Stop()
	judge := func(csr *certificatesv1.CertificateSigningRequest) {
		delete(waiting, csr.Name)
		later, err := o.judge(ctx, client, csr)
		if err != nil {
			o.log.Warn("judging a certificate request", "request", csr.Name, "error", err)
		}
		if later {
			waiting[csr.Name] = csr
		}
	}
	for {
		select {
		case event, open := <-w.ResultChan():
			if !open {
				return errors.New("the watch ended")
			}
			csr, ok := event.Object.(*certificatesv1.CertificateSigningRequest)
			switch {
			case !ok:
				return apierrors.FromObject(event.Object)
			case event.Type == watch.Deleted:
				delete(waiting, csr.Name)
			default:
				judge(csr)
			}
		case <-again.C:
			for _, csr := range waiting {
				judge(csr)
			}
		}
	}
}

// judge writes the verdict on the request, and says whether to come back.
func (o *owner) judge(ctx context.Context, client kubernetes.Interface, csr *certificatesv1.CertificateSigningRequest) (later bool, err error) {
	var node *corev1.Node
	if name := pki.RequestingNode(csr); name != "" {
		registered, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			node = o.truly(registered)
		case !apierrors.IsNotFound(err):
			return true, fmt.Errorf("reading node %s: %w", name, err)
		}
	}
	verdict := pki.JudgeKubeletServing(csr, node)
	condition := certificatesv1.CertificateSigningRequestCondition{Status: corev1.ConditionTrue, Message: verdict.Reason}
	switch verdict.Decision {
	case pki.Undecided:
		return len(csr.Status.Conditions) == 0, nil
	case pki.Approved:
		condition.Type, condition.Reason = certificatesv1.CertificateApproved, "NodeServesItsOwnAddresses"
	case pki.Denied:
		condition.Type, condition.Reason = certificatesv1.CertificateDenied, "NotAKubeletsOwn"
	}
	judged := csr.DeepCopy()
	judged.Status.Conditions = append(judged.Status.Conditions, condition)
	_, err = client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, csr.Name, judged, metav1.UpdateOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false, nil // gone, or changed: then another event brings it
	case err != nil:
		return true, fmt.Errorf("writing the verdict: %w", err)
	}
	o.log.Info("judged a certificate request", "request", csr.Name, "user", csr.Spec.Username, "verdict", verdict.Decision.String(), "reason", verdict.Reason)
	return false, nil
}

// truly is the node with only the addresses that its machine has: what a
// kubelet reports is no proof, and the owner knows better.
func (o *owner) truly(node *corev1.Node) *corev1.Node {
	for _, h := range o.state.Topology.of(worker) {
		if h.Name != node.Name {
			continue
		}
		known := node.DeepCopy()
		known.Status.Addresses = slices.DeleteFunc(known.Status.Addresses, func(a corev1.NodeAddress) bool {
			return a.Address != h.Name && a.Address != h.IP.String()
		})
		return known
	}
	return nil // a node that somebody invented
}
