package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"mbserver/server/config"
)

// manifest is what is looked at of a Kubernetes object.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	Spec       struct {
		Replicas       int
		Selector       any
		MaxUnavailable int `yaml:"maxUnavailable"`
		Ports          []struct {
			Name       string
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	Grace           int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
	} `yaml:"securityContext"`
	Containers []struct {
		Args  []string
		Ports []struct {
			Name string
			Port int `yaml:"containerPort"`
		}
		ReadinessProbe probe `yaml:"readinessProbe"`
		LivenessProbe  probe `yaml:"livenessProbe"`
		Lifecycle      struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// manifests reads the objects by kind.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(text(t, "kubernetes/mb-server.yaml"))))
	all := make(map[string]manifest)
	for {
		var m manifest
		switch err := decoder.Decode(&m); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		if m.APIVersion == "" || m.Metadata.Name == "" || all[m.Kind].Kind != "" {
			t.Errorf("not an object, or a second one: %+v", m)
		}
		all[m.Kind] = m
	}
}

// The manifests fit together and the node: its ports, its pages, its configuration; and it has
// ended before Kubernetes ends it.
func TestKubernetes(t *testing.T) {
	all := manifests(t)
	if len(all) != 4 {
		t.Fatalf("%d objects", len(all))
	}
	p := all["Deployment"].Spec.Template.Spec
	c := p.Containers[0]
	path := filepath.Join(t.TempDir(), "mb-server.yaml")
	written := all["ConfigMap"].Data["mb-server.yaml"]
	if err := os.WriteFile(path, []byte(written), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(nil, []string{"CONFIG_PATH=" + path})
	if err != nil {
		t.Fatal(err)
	}
	const hardEnd = 2 * time.Second
	stop := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second + cfg.Shutdown.Timeout
	if grace := time.Duration(p.Grace) * time.Second; p.Grace != 30 || stop+hardEnd > grace {
		t.Errorf("the end takes %v, Kubernetes waits %v", stop+hardEnd, grace)
	}
	listens := make(map[string]int)
	for _, port := range c.Ports {
		listens[port.Name] = port.Port
	}
	if listens["ws"] != cfg.Ports.WS || listens["tcp"] != cfg.Ports.TCP || len(listens) != 3 {
		t.Errorf("ports %v", listens)
	}
	for _, port := range all["Service"].Spec.Ports {
		if listens[port.TargetPort] != port.Port {
			t.Errorf("the service has %+v", port)
		}
	}
	if c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/livez" ||
		c.ReadinessProbe.HTTPGet.Port != "admin" || c.LivenessProbe.HTTPGet.Port != "admin" ||
		cfg.Admin.Address != ":3002" || listens["admin"] != 3002 {
		t.Errorf("probes %+v, %+v, admin.address %s",
			c.ReadinessProbe, c.LivenessProbe, cfg.Admin.Address)
	}
	may := c.SecurityContext
	if !p.SecurityContext.RunAsNonRoot || may.AllowPrivilegeEscalation == nil ||
		*may.AllowPrivilegeEscalation || !may.ReadOnlyRootFilesystem ||
		len(may.Capabilities.Drop) != 1 || may.Capabilities.Drop[0] != "ALL" {
		t.Errorf("it may do more than it needs: %+v, %+v", p.SecurityContext, may)
	}
	if b := all["PodDisruptionBudget"].Spec; b.MaxUnavailable != 1 ||
		all["Deployment"].Spec.Replicas <= b.MaxUnavailable {
		t.Errorf("a disruption may take all: %+v", b)
	}
}
