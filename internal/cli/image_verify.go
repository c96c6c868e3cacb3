package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/signature"
	"github.com/bulwark-k8s/bulwark/internal/signature/pin"
)

// verifySchema names the shape of the verdicts' JSON. docs/schema/image-verify-v1.json
// describes it.
const verifySchema = "bulwark.image-verify/v1"

// registryFlags are those of every command that asks registries.
type registryFlags struct {
	insecure bool
	timeout  time.Duration
}

func (o *registryFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.insecure, "insecure-registry", false, "ask registries by plain HTTP, and take any certificate")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long one image may take")
}

// open prepares to ask registries with the credentials of `docker login` and of
// credential helpers.
func (o *registryFlags) open() (*signature.Registry, error) {
	if o.timeout <= 0 {
		return nil, misuse("", "--timeout: %s, want more than nothing", o.timeout)
	}
	options := signature.RegistryOptions{Keychain: authn.DefaultKeychain, Insecure: o.insecure, UserAgent: "bulwark/" + version()}
	if t, ok := remote.DefaultTransport.(*http.Transport); ok && o.insecure {
		t = t.Clone()
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // G402: that is what was asked for, and nothing is trusted that is not signed
		options.Transport = t
	}
	return signature.NewRegistry(options)
}

// imageVerifyOptions are the flags of image verify.
type imageVerifyOptions struct {
	registry registryFlags

	policy      string
	keys        []string
	identity    string
	identities  string // a pattern
	issuer      string
	issuers     string // a pattern
	trustedRoot string

	attestations    []string
	attestationOnly bool
	signedAs        []string
	as              string
	from            []string
	log, ct         bool
	logSet          bool

	outputs []string
	streams genericiooptions.IOStreams
}

func newImageVerify(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageVerifyOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "verify REF…",
		Short: "Say whether images are what somebody who is trusted signed",
		Long: `Verify looks whether images are signed and attested as a policy asks, or as the
flags ask, which are a policy for all images.

A tag is resolved once; the digest that it named then is what the verdict is about,
and what should run. Signatures are found where cosign puts them: as tags beside the
image, and as referrers, also in Sigstore's bundles. Everything is verified here, with
the keys and the trusted root that are given: no log, authority or update server is
asked, only the registry.

A signature by key is enough by itself; with --trusted-root it must be in the
transparency log too, unless --transparency-log=false. A keyless signature needs
--trusted-root (` + "`cosign trusted-root create`" + `, or your own authority's), the whole
identity and the issuer; patterns match the whole of it, never a part.

A signature is for the repository that it names. For an image that was mirrored, say
with --signed-as from where; bundles of cosign v3 bind the digest only.

REF is a reference, or an OCI layout: oci:FOLDER[:TAG], with --as for its repository.

The exit code is 3 if an image is refused, and 4 if none is, but of one it could not be
told, since a registry did not answer.`,
		Example: `  # signed with a key
  bulwark image verify registry.example/shop/web:1.4 --key cosign.pub

  # signed by a workflow, with provenance of the build
  bulwark image verify ghcr.io/acme/web:1.4 --trusted-root trusted_root.json \
    --certificate-identity https://github.com/acme/web/.github/workflows/release.yaml@refs/heads/main \
    --certificate-oidc-issuer https://token.actions.githubusercontent.com \
    --attestation slsaprovenance1

  # every image of some manifests, as a policy says for each repository
  bulwark image verify --policy images.yaml --from ./deploy

  # for a program
  bulwark image verify --policy images.yaml registry.example/shop/web@sha256:… -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args)+len(o.from) == 0 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "want a reference: registry.example/shop/web:1.4")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.logSet = cmd.Flags().Changed("transparency-log")
			return o.run(cmd.Context(), args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&o.policy, "policy", "", "a `file` that says for each repository who must sign")
	f.StringArrayVar(&o.keys, "key", nil, "a public key, PEM (`cosign.pub`), repeatable: any of them counts")
	f.StringVar(&o.identity, "certificate-identity", "", "who signs: the certificate's `subject`, whole")
	f.StringVar(&o.identities, "certificate-identity-regexp", "", "a `pattern` that matches the whole subject")
	f.StringVar(&o.issuer, "certificate-oidc-issuer", "", "the `issuer` that says who that is, whole")
	f.StringVar(&o.issuers, "certificate-oidc-issuer-regexp", "", "a `pattern` that matches the whole issuer")
	f.StringVar(&o.trustedRoot, "trusted-root", "", "a `file` with the authorities and logs that are trusted (trusted_root.json)")
	f.StringArrayVar(&o.attestations, "attestation", nil, "a `type` of attestation that must be there too, repeatable: slsaprovenance1, spdx, cyclonedx, openvex, a URI")
	f.BoolVar(&o.attestationOnly, "attestation-only", false, "the attestation is enough, without a signature")
	f.StringArrayVar(&o.signedAs, "signed-as", nil, "a `pattern` of repositories that the image may have been signed as, repeatable: upstream.example/**")
	f.StringVar(&o.as, "as", "", "the `repository` of images in OCI layouts")
	f.StringArrayVar(&o.from, "from", nil, "a `path` of manifests whose images are verified too, repeatable")
	f.BoolVar(&o.log, "transparency-log", false, "an entry in the transparency log is needed (default with --trusted-root)")
	f.BoolVar(&o.ct, "certificate-transparency", true, "certificates must have been logged")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "`format` or format=file, repeatable: table, json (default table)")
	o.registry.add(cmd)
	complete(cmd, "output", "table", "json")
	complete(cmd, "attestation", "slsaprovenance1", "slsaprovenance", "spdx", "cyclonedx", "openvex", "vuln")
	return cmd
}

func (o *imageVerifyOptions) run(ctx context.Context, refs []string) error {
	formats := []string{"table", "json"}
	outputs, err := parseOutputs(o.outputs, formats, func(name string) (string, error) {
		if !slices.Contains(formats, name) {
			return "", fmt.Errorf("format %q, want %s", name, strings.Join(formats, " or "))
		}
		return name, nil
	})
	if err != nil {
		return err
	}
	policy, err := o.read()
	if err != nil {
		return err
	}
	named, err := imagesOf(o.from)
	if err != nil {
		return misuse("", "--from %w", err)
	}
	for _, ref := range named {
		refs = appendNew(refs, ref)
	}
	if len(refs) == 0 {
		return misuse("", "--from: no image in %s", strings.Join(o.from, ", "))
	}
	registry, err := o.registry.open()
	if err != nil {
		return err
	}
	verifier := signature.New(policy, signature.Layouts{Next: registry, As: o.as}, signature.Options{Now: time.Now, All: true})
	var verdicts []*signature.Verdict
	for _, ref := range refs {
		v, err := o.one(ctx, verifier, ref)
		if err != nil {
			return misuse("", "%w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		verdicts = append(verdicts, v)
	}
	err = writeOutputs(o.streams, outputs, func(w io.Writer, format string, _ bool) error {
		if format == "json" {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(verdictReport{verifySchema, verdicts})
		}
		return verdictTable(w, verdicts)
	})
	if err != nil {
		return err
	}
	code := exitClean
	for _, v := range verdicts {
		switch v.Outcome {
		case signature.Refused:
			code = exitBroken
		case signature.Unknown:
			code = cmp.Or(code, exitIncomplete)
		case signature.Allowed, signature.Verified:
		}
	}
	if code != exitClean {
		return &exitError{code: code}
	}
	return nil
}

// imagesOf are the images that manifests name. A file whose images are not sure is an
// error: what is left out would not be verified.
func imagesOf(paths []string) ([]string, error) {
	files, err := manifestFiles(paths)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		refs, err := pin.Refs(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, r := range refs {
			out = appendNew(out, r.Image)
		}
	}
	return out, nil
}

func (o *imageVerifyOptions) one(ctx context.Context, v *signature.Verifier, ref string) (*signature.Verdict, error) {
	ctx, done := context.WithTimeout(ctx, o.registry.timeout)
	defer done()
	return v.Verify(ctx, ref)
}

// read reads the policy, or makes one of the flags.
func (o *imageVerifyOptions) read() (*signature.Policy, error) {
	keyless := o.identity + o.identities + o.issuer + o.issuers
	if o.policy != "" {
		if len(o.keys)+len(o.attestations)+len(o.signedAs) > 0 || keyless+o.trustedRoot != "" || o.attestationOnly || o.logSet || !o.ct {
			return nil, misuse("say it in the policy", "--policy: the policy says who must sign, so no other flag may")
		}
		data, err := os.ReadFile(o.policy)
		if err != nil {
			return nil, misuse("", "--policy: %w", err)
		}
		// Files are named from where the policy is, so that it works from anywhere.
		p, err := signature.ParsePolicy(o.policy, data, func(path string) ([]byte, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(filepath.Dir(o.policy), path)
			}
			return os.ReadFile(path)
		})
		if err != nil {
			return nil, misuse("", "%w", err)
		}
		return p, nil
	}
	if len(o.keys) == 0 && keyless == "" {
		return nil, misuse("give --key cosign.pub, or --certificate-identity with --certificate-oidc-issuer and --trusted-root, or --policy", "nobody is named who may sign")
	}
	rule := signature.Rule{SignedAs: o.signedAs, Signatures: 1, Certificates: &o.ct}
	for _, file := range o.keys {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, misuse("", "--key: %w", err)
		}
		k, err := signature.ParseKey(data)
		if err != nil {
			return nil, misuse("", "--key %s: %w", file, err)
		}
		rule.Signers = append(rule.Signers, &signature.Signer{Name: file, Key: k})
	}
	if keyless != "" {
		rule.Signers = append(rule.Signers, &signature.Signer{Identity: o.identity, IdentityPattern: o.identities, Issuer: o.issuer, IssuerPattern: o.issuers})
	}
	for _, t := range o.attestations {
		rule.Attestations = append(rule.Attestations, &signature.Requirement{Type: t})
	}
	if o.attestationOnly {
		rule.Signatures = 0
	}
	if o.logSet {
		rule.Log = &o.log
	}
	var trusted []byte
	if o.trustedRoot != "" {
		var err error
		if trusted, err = os.ReadFile(o.trustedRoot); err != nil {
			return nil, misuse("", "--trusted-root: %w", err)
		}
	}
	p, err := signature.PolicyOf(rule, trusted)
	if err != nil {
		return nil, misuse("", "%w", err)
	}
	return p, nil
}

// verdictReport is docs/schema/image-verify-v1.json.
type verdictReport struct {
	Schema string               `json:"schema"`
	Images []*signature.Verdict `json:"images"`
}

// verdictTable writes a line for each image, and below it why not.
func verdictTable(out io.Writer, verdicts []*signature.Verdict) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REF\tDIGEST\tSIGNED BY\tATTESTATIONS\tVERDICT")
	for _, v := range verdicts {
		var signers, types []string
		for _, s := range v.Signatures {
			signers = appendNew(signers, cmp.Or(s.Identity, s.Signer))
		}
		for _, a := range v.Attestations {
			types = appendNew(types, signature.ShortType(a.Type))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", clean(v.Ref), cmp.Or(signature.Short(v.Digest), "-"), cmp.Or(clean(strings.Join(signers, ", ")), "-"), cmp.Or(clean(strings.Join(types, ", ")), "-"), v.Outcome)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range verdicts {
		if v.Outcome.OK() {
			continue
		}
		if _, err := fmt.Fprintf(out, "\n%s: %s\n", clean(v.Ref), v.Outcome); err != nil {
			return err
		}
		for _, why := range v.Reasons {
			fmt.Fprintf(out, "  %s\n", clean(why))
		}
		const most = 5
		for i, r := range v.Rejected {
			if i == most {
				fmt.Fprintf(out, "  and %d more that did not verify: -o json has them\n", len(v.Rejected)-most)
				break
			}
			fmt.Fprintf(out, "  %s: %s\n", clean(r.At), clean(r.Why))
		}
	}
	return nil
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
