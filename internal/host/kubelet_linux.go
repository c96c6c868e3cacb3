package host

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// kubeletConfig is what a kubelet acts on: its file, drop-ins in the order of their
// names over it, flags over those.
func kubeletConfig(flags cluster.Flags, read func(string) ([]byte, error), names func(string) ([]string, error)) (*kubeletv1beta1.KubeletConfiguration, error) {
	config := &kubeletv1beta1.KubeletConfiguration{}
	file, ok := flags.Lookup("config")
	if ok && file != "" {
		if err := overlay(config, file, read); err != nil {
			return nil, err
		}
	} else {
		// Without a file the kubelet starts from older and weaker defaults than with one.
		yes, no := true, false
		config.Authentication.Anonymous.Enabled = &yes
		config.Authentication.Webhook.Enabled = &no
		config.Authorization.Mode = kubeletv1beta1.KubeletAuthorizationModeAlwaysAllow
		config.ReadOnlyPort = 10255
	}
	if dir, ok := flags.Lookup("config-dir"); ok && dir != "" {
		list, err := names(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing %s: %w", dir, err)
		}
		for _, name := range list { // sorted
			if strings.HasSuffix(name, ".conf") {
				if err := overlay(config, path.Join(dir, name), read); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kubeletFlags)) {
		if value, ok := flags.Lookup(name); ok {
			if err := kubeletFlags[name](config, value, flags.List(name)); err != nil {
				return nil, fmt.Errorf("--%s=%s: %w", name, value, err)
			}
		}
	}
	// The headers for fetching static pods carry credentials.
	for name := range config.StaticPodURLHeader {
		config.StaticPodURLHeader[name] = []string{redacted}
	}
	return config, nil
}

// overlay decodes a file over a configuration: what the file does not name stays.
func overlay(config *kubeletv1beta1.KubeletConfiguration, file string, read func(string) ([]byte, error)) error {
	b, err := read(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(b, &kind); err != nil {
		return fmt.Errorf("parsing %s: %w", file, err)
	}
	if kind.Kind != "KubeletConfiguration" || kind.APIVersion != kubeletv1beta1.SchemeGroupVersion.String() {
		return fmt.Errorf("%s is %q of %q, want KubeletConfiguration of %s", file, kind.Kind, kind.APIVersion, kubeletv1beta1.SchemeGroupVersion)
	}
	if err := yaml.Unmarshal(b, config); err != nil {
		return fmt.Errorf("parsing %s: %w", file, err)
	}
	return nil
}

// kubeletFlags set the field that each flag overrides. They are the flags that bear on
// security; the others change nothing that is judged.
var kubeletFlags = map[string]func(c *kubeletv1beta1.KubeletConfiguration, value string, list []string) error{
	"address": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.Address = v
		return nil
	},
	"anonymous-auth": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		return setBool(&c.Authentication.Anonymous.Enabled, v)
	},
	"authentication-token-webhook": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		return setBool(&c.Authentication.Webhook.Enabled, v)
	},
	"authorization-mode": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.Authorization.Mode = kubeletv1beta1.KubeletAuthorizationMode(v)
		return nil
	},
	"client-ca-file": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.Authentication.X509.ClientCAFile = v
		return nil
	},
	"container-runtime-endpoint": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.ContainerRuntimeEndpoint = v
		return nil
	},
	"enable-debugging-handlers": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		return setBool(&c.EnableDebuggingHandlers, v)
	},
	"event-qps": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		c.EventRecordQPS = new(int32)
		*c.EventRecordQPS = int32(n)
		return err
	},
	"make-iptables-util-chains": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		return setBool(&c.MakeIPTablesUtilChains, v)
	},
	"pod-manifest-path": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.StaticPodPath = v
		return nil
	},
	"pod-max-pids": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		c.PodPidsLimit = &n
		return err
	},
	"port": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		c.Port = int32(n)
		return err
	},
	"protect-kernel-defaults": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) (err error) {
		c.ProtectKernelDefaults, err = strconv.ParseBool(v)
		return err
	},
	"read-only-port": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		c.ReadOnlyPort = int32(n)
		return err
	},
	"rotate-certificates": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) (err error) {
		c.RotateCertificates, err = strconv.ParseBool(v)
		return err
	},
	"rotate-server-certificates": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) (err error) {
		c.ServerTLSBootstrap, err = strconv.ParseBool(v)
		return err
	},
	"seccomp-default": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		return setBool(&c.SeccompDefault, v)
	},
	"streaming-connection-idle-timeout": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		d, err := time.ParseDuration(v)
		c.StreamingConnectionIdleTimeout.Duration = d
		return err
	},
	"tls-cert-file": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.TLSCertFile = v
		return nil
	},
	"tls-cipher-suites": func(c *kubeletv1beta1.KubeletConfiguration, _ string, list []string) error {
		c.TLSCipherSuites = list
		return nil
	},
	"tls-min-version": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.TLSMinVersion = v
		return nil
	},
	"tls-private-key-file": func(c *kubeletv1beta1.KubeletConfiguration, v string, _ []string) error {
		c.TLSPrivateKeyFile = v
		return nil
	},
}

func setBool(field **bool, value string) error {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return err
	}
	*field = &b
	return nil
}
