package kube

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An Error is a fault that keeps everything from being read, with the next step.
type Error struct {
	text, hint string
	err        error
}

func (e *Error) Error() string { return e.text }

// Hint is what the user can do next.
func (e *Error) Hint() string { return e.hint }

func (e *Error) Unwrap() error { return e.err }

// explain turns what the client library says into one clear line.
func explain(err error, host string) error {
	if err == nil {
		return nil
	}
	var (
		unknownCA x509.UnknownAuthorityError
		badCert   x509.CertificateInvalidError
		badName   x509.HostnameError
		alert     tls.AlertError
		dns       *net.DNSError
		record    tls.RecordHeaderError
	)
	wrap := func(hint, format string, args ...any) error {
		return &Error{fmt.Sprintf("cluster %s: "+format, append([]any{host}, args...)...), hint, err}
	}
	switch {
	case errors.As(err, &badCert) && badCert.Reason == x509.Expired:
		return wrap("check the clock; renew the certificate (`bulwark pki` or `kubeadm certs renew`)",
			"its certificate ended on %s", badCert.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &unknownCA):
		return wrap("check certificate-authority in the kubeconfig: it may be that of another cluster",
			"its certificate is signed by an authority that the kubeconfig does not trust")
	case errors.As(err, &badName):
		return wrap("use an address that its certificate names, or --tls-server-name", "its certificate is for another name: %v", badName)
	case errors.As(err, &alert):
		return wrap("the client certificate in the kubeconfig may have expired or be of another cluster",
			"it refused our certificate: %s", strings.TrimPrefix(alert.Error(), "tls: "))
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return wrap("use http:// in the kubeconfig only if you mean it", "it does not speak TLS")
	case apierrors.IsUnauthorized(err):
		return wrap("log in again, or check the user of the current context; a client certificate may have expired",
			"it does not accept the credential (401)")
	case errors.As(err, &dns):
		return wrap("check the server address in the kubeconfig", "its name cannot be resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return wrap("is it running? `bulwark status` lists lab clusters; --context chooses another", "connection refused")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return wrap("check the network or VPN", "it cannot be reached")
	case isTimeout(err):
		return wrap("check the address, network or VPN; --request-timeout sets how long to wait", "it did not answer in time")
	}
	return fmt.Errorf("cluster %s: %w", host, err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
