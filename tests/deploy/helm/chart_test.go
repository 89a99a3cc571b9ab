// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chartutil"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
)

func readValues(t *testing.T, file string) values {
	t.Helper()
	given, err := chartutil.ReadValuesFile(filepath.Join(chartFolder, file))
	if err != nil {
		t.Fatal(err)
	}
	return given
}

func statefulSet(t *testing.T, file string, overrides values) apps.StatefulSet {
	t.Helper()
	var set apps.StatefulSet
	find(t, render(t, file, overrides), "StatefulSet", "prefscore", &set)
	return set
}

func TestAPodOutlivesItsDrain(t *testing.T) {
	want := map[string]int64{"": 50, "examples/single-gpu.yaml": 80, "examples/gpu-cluster.yaml": 140}
	for file, seconds := range want {
		set := statefulSet(t, file, nil)
		if got := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; got != seconds {
			t.Errorf("%q: terminationGracePeriodSeconds is %d, not %d", file, got, seconds)
		}
	}
	for delay, seconds := range map[any]int64{0: 16, 0.25: 16, 0.75: 17, nil: 16} {
		set := statefulSet(t, "", values{"config": values{"drain-delay": delay, "shutdown-grace": 0.5}})
		if got := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; got != seconds {
			t.Errorf("a delay of %v and a grace of half a second give %d s", delay, got)
		}
	}
}

func TestNoContainerHasAPrivilege(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		pod := statefulSet(t, file, nil).Spec.Template.Spec
		if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != 10001 {
			t.Error("the pod may run as root")
		}
		if pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
			t.Error("no seccomp profile")
		}
		if *pod.AutomountServiceAccountToken {
			t.Error("the pod can talk to Kubernetes")
		}
		for _, container := range append(pod.Containers, pod.InitContainers...) {
			security := container.SecurityContext
			if *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem || security.Privileged != nil ||
				!slices.Equal(security.Capabilities.Drop, []core.Capability{"ALL"}) || security.Capabilities.Add != nil {
				t.Errorf("%s: %v", container.Name, security)
			}
		}
	})
}

func TestOnlyCacheAndTmpCanBeWrittenTo(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		pod := statefulSet(t, file, nil).Spec.Template.Spec
		var writable []string
		for _, mount := range pod.Containers[0].VolumeMounts {
			if !mount.ReadOnly {
				writable = append(writable, mount.MountPath)
			}
		}
		if !slices.Equal(writable, []string{"/var/cache/prefscore", "/tmp"}) {
			t.Error(writable)
		}
	})
}

func TestEveryMountHasItsVolume(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		set := statefulSet(t, file, nil)
		known := map[string]bool{}
		for _, volume := range set.Spec.Template.Spec.Volumes {
			known[volume.Name] = true
		}
		for _, claim := range set.Spec.VolumeClaimTemplates {
			if known[claim.Name] {
				t.Errorf("%s is a volume and a claim", claim.Name)
			}
			known[claim.Name] = true
		}
		for _, container := range append(set.Spec.Template.Spec.Containers, set.Spec.Template.Spec.InitContainers...) {
			for _, mount := range container.VolumeMounts {
				if !known[mount.Name] {
					t.Errorf("%s mounts %s, which is no volume", container.Name, mount.Name)
				}
			}
		}
	})
}

func TestProbesAskForHealthInPlainTextAndOverTLS(t *testing.T) {
	server := statefulSet(t, "", nil).Spec.Template.Spec.Containers[0]
	for _, probe := range []*core.Probe{server.StartupProbe, server.ReadinessProbe, server.LivenessProbe} {
		if probe.GRPC == nil || probe.GRPC.Port != 50051 {
			t.Error(probe)
		}
	}
	if seconds := server.StartupProbe.FailureThreshold * server.StartupProbe.PeriodSeconds; seconds != 600 {
		t.Errorf("a start may take %d s", seconds)
	}
	if seconds := server.LivenessProbe.FailureThreshold * server.LivenessProbe.PeriodSeconds; seconds != 300 {
		t.Errorf("a server that does not serve lives %d s", seconds)
	}
	server = statefulSet(t, "examples/gpu-cluster.yaml", nil).Spec.Template.Spec.Containers[0]
	want := []string{"prefscore", "health", "--server=localhost:50051", "--tls-ca=/run/prefscore/tls/ca.crt",
		"--tls-certificate=/run/prefscore/tls/tls.crt", "--tls-key=/run/prefscore/tls/tls.key"}
	for _, probe := range []*core.Probe{server.StartupProbe, server.ReadinessProbe, server.LivenessProbe} {
		if probe.Exec == nil || !slices.Equal(probe.Exec.Command, want) {
			t.Error(probe)
		}
	}
}

func TestServicesAndPoliciesSelectThePodsAndTheirPorts(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		objects := render(t, file, nil)
		var set apps.StatefulSet
		find(t, objects, "StatefulSet", "prefscore", &set)
		labels := set.Spec.Template.Labels
		ports := map[string]bool{}
		for _, port := range set.Spec.Template.Spec.Containers[0].Ports {
			ports[port.Name] = true
		}
		selects := func(what string, selector map[string]string) {
			if len(selector) == 0 {
				t.Errorf("%s selects everything", what)
			}
			for name, value := range selector {
				if labels[name] != value {
					t.Errorf("%s selects %s=%s; the pods have %q", what, name, value, labels[name])
				}
			}
		}
		selects("StatefulSet", set.Spec.Selector.MatchLabels)
		for _, name := range []string{"prefscore", "prefscore-headless"} {
			var service core.Service
			find(t, objects, "Service", name, &service)
			selects("Service "+name, service.Spec.Selector)
			if (service.Spec.ClusterIP == "None") != (name == set.Spec.ServiceName) {
				t.Errorf("clusterIP of %s is %q", name, service.Spec.ClusterIP)
			}
			for _, port := range service.Spec.Ports {
				if !ports[port.TargetPort.StrVal] {
					t.Errorf("%s leads to port %v", name, port.TargetPort)
				}
			}
		}
		if kinds(objects)["PodDisruptionBudget"] == 1 {
			var budget policy.PodDisruptionBudget
			find(t, objects, "PodDisruptionBudget", "prefscore", &budget)
			selects("PodDisruptionBudget", budget.Spec.Selector.MatchLabels)
		}
		if kinds(objects)["NetworkPolicy"] == 1 {
			var network networking.NetworkPolicy
			find(t, objects, "NetworkPolicy", "prefscore", &network)
			selects("NetworkPolicy", network.Spec.PodSelector.MatchLabels)
			for _, rule := range network.Spec.Ingress {
				if len(rule.From) == 0 || !ports[rule.Ports[0].Port.StrVal] {
					t.Errorf("open to everybody, or to no port: %v", rule)
				}
			}
		}
	})
}

func TestWithoutEgressRulesNothingIsReached(t *testing.T) {
	var network networking.NetworkPolicy
	find(t, render(t, "", nil), "NetworkPolicy", "prefscore", &network)
	if !slices.Contains(network.Spec.PolicyTypes, networking.PolicyTypeEgress) || len(network.Spec.Egress) != 0 {
		t.Error(network.Spec)
	}
}

func TestGPUsAreAskedForOnlyWhereWanted(t *testing.T) {
	const gpu core.ResourceName = "nvidia.com/gpu"
	eachValueFile(t, func(t *testing.T, file string) {
		limits := statefulSet(t, file, nil).Spec.Template.Spec.Containers[0].Resources.Limits
		quantity, has := limits[gpu]
		if has != strings.Contains(file, "gpu") || has && quantity.Value() != 1 {
			t.Error(limits)
		}
		if limits.Memory().IsZero() {
			t.Error("no limit of memory")
		}
	})
}

func TestReplicasAreLeftToTheAutoscaler(t *testing.T) {
	if set := statefulSet(t, "", nil); *set.Spec.Replicas != 1 {
		t.Error(set.Spec.Replicas)
	}
	for _, kind := range []string{"hpa", "keda"} {
		if set := statefulSet(t, "", values{"autoscaling": values{"kind": kind}}); set.Spec.Replicas != nil {
			t.Errorf("%s: each upgrade would set %d replicas", kind, *set.Spec.Replicas)
		}
	}
}

func TestAutoscalersAskForAMetricThatTheServerHas(t *testing.T) {
	documented, err := os.ReadFile("../../../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]string{"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"} {
		objects := render(t, "", values{"autoscaling": values{"kind": kind}})
		if kinds(objects)[object] != 1 {
			t.Errorf("%s makes no %s", kind, object)
		}
		for _, one := range objects {
			if one.Kind != object {
				continue
			}
			metrics := regexp.MustCompile(`prefscore_[a-z_]+`).FindAllString(string(one.text), -1)
			if len(metrics) != 1 || !strings.Contains(string(documented), "| `"+metrics[0]+"` |") {
				t.Errorf("%s asks for %v", object, metrics)
			}
		}
	}
}

func TestEachReplicaKeepsItsCacheWhereASizeIsGiven(t *testing.T) {
	claims := statefulSet(t, "examples/gpu-cluster.yaml", nil).Spec.VolumeClaimTemplates
	if len(claims) != 1 || claims[0].Spec.Resources.Requests.Storage().String() != "200Gi" ||
		*claims[0].Spec.StorageClassName != "local-nvme" {
		t.Error(claims)
	}
}

func TestAChangeOfConfigurationRestartsThePods(t *testing.T) {
	const annotation = "prefscore/config"
	first := statefulSet(t, "", nil).Spec.Template.Annotations[annotation]
	second := statefulSet(t, "", values{"config": values{"threads": 3}}).Spec.Template.Annotations[annotation]
	if first == "" || first == second {
		t.Errorf("%q and %q", first, second)
	}
}

func TestPrometheusFindsTheJobThatTheRulesAskFor(t *testing.T) {
	objects := render(t, "examples/gpu-cluster.yaml", nil)
	var monitor monitoring.ServiceMonitor
	find(t, objects, "ServiceMonitor", "prefscore", &monitor)
	tls := monitor.Spec.Endpoints[0].TLSConfig
	if tls == nil || tls.CA.Secret.Name != "prefscore-tls" || tls.KeySecret.Key != "tls.key" ||
		*tls.ServerName != "localhost" {
		t.Error(tls)
	}
	if sent := monitor.Spec.Endpoints[0].Authorization; sent == nil || sent.Credentials.Key != "prometheus.token" {
		t.Error(sent)
	}
	relabeling := monitor.Spec.Endpoints[0].RelabelConfigs[0]
	if relabeling.TargetLabel != "job" || *relabeling.Replacement != "prefscore" {
		t.Error(relabeling)
	}
	var service core.Service
	find(t, objects, "Service", "prefscore-headless", &service)
	for name, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[name] != value {
			t.Errorf("the monitor wants %s=%s", name, value)
		}
	}
	var rules monitoring.PrometheusRule
	find(t, objects, "PrometheusRule", "prefscore", &rules)
	alerts := 0
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			if rule.Alert != "" {
				alerts++
			}
		}
	}
	if alerts < 10 {
		t.Errorf("%d alerts", alerts)
	}
}

func TestNotesWarnOfWhatIsOpen(t *testing.T) {
	for file, want := range map[string]string{"": "whoever reaches it", "examples/laptop.yaml": "No network policy"} {
		if _, notes, err := tryRender(t, file, nil); err != nil || !strings.Contains(notes, want) {
			t.Errorf("%q: %s (%v)", file, notes, err)
		}
	}
	if _, notes, _ := tryRender(t, "examples/gpu-cluster.yaml", nil); strings.Contains(notes, "plain text") {
		t.Error(notes)
	}
}
