// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

func withAdmin() values { return values{"admin": values{"enabled": true}} }

func operators() []any {
	return []any{values{"podSelector": values{"matchLabels": values{"team": "operators"}}}}
}

// adminPort of the container; 0: none.
func adminPort(t *testing.T, overrides values) int32 {
	t.Helper()
	for _, port := range statefulSet(t, "", overrides).Spec.Template.Spec.Containers[0].Ports {
		if port.Name == "admin" {
			return port.ContainerPort
		}
	}
	return 0
}

func TestTheAdminServiceIsOffUnlessAskedFor(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		if config := serverToml(t, file, nil); strings.Contains(config, "admin-listen") {
			t.Error(config)
		}
	})
	if kinds(render(t, "", nil))["Service"] != 2 || adminPort(t, nil) != 0 {
		t.Error("something leads to it")
	}
}

func TestWithoutTokensTheAdminServiceStaysInThePod(t *testing.T) {
	if config := serverToml(t, "", withAdmin()); !strings.Contains(config, `admin-listen = "127.0.0.1:50052"`) {
		t.Error(config)
	}
	objects := render(t, "", values{"admin": values{"enabled": true}, "networkPolicy": values{"operators": operators()}})
	var network networking.NetworkPolicy
	find(t, objects, "NetworkPolicy", "prefscore", &network)
	if kinds(objects)["Service"] != 2 || len(network.Spec.Ingress) != 2 || adminPort(t, withAdmin()) != 0 {
		t.Error("something leads to it")
	}
}

func TestWithTokensOperatorsReachTheAdminServiceOfEachReplica(t *testing.T) {
	given := values{"admin": values{"enabled": true}, "tokens": values{"secretName": "tokens"},
		"ports": values{"admin": 6000}, "networkPolicy": values{"operators": operators()}}
	if config := serverToml(t, "", given); !strings.Contains(config, `admin-listen = "0.0.0.0:6000"`) {
		t.Error(config)
	}
	if port := adminPort(t, given); port != 6000 {
		t.Errorf("the container's port is %d", port)
	}
	objects := render(t, "", given)
	var service core.Service
	find(t, objects, "Service", "prefscore-admin", &service)
	if service.Spec.ClusterIP != "None" || !service.Spec.PublishNotReadyAddresses || len(service.Spec.Ports) != 1 ||
		service.Spec.Ports[0].TargetPort.StrVal != "admin" || service.Spec.Ports[0].Port != 6000 {
		t.Error(service.Spec)
	}
	var network networking.NetworkPolicy
	find(t, objects, "NetworkPolicy", "prefscore", &network)
	rule := network.Spec.Ingress[2]
	if len(rule.Ports) != 1 || rule.Ports[0].Port.StrVal != "admin" ||
		rule.From[0].PodSelector.MatchLabels["team"] != "operators" {
		t.Error(rule)
	}

	given["networkPolicy"] = values{"operators": []any{}}
	network = networking.NetworkPolicy{}
	find(t, render(t, "", given), "NetworkPolicy", "prefscore", &network)
	for _, rule := range network.Spec.Ingress {
		if rule.Ports[0].Port.StrVal == "admin" {
			t.Error("nobody is named, and the policy lets somebody in")
		}
	}
}

func TestTheServerAcceptsItsAdminListener(t *testing.T) {
	for name, given := range map[string]values{
		"loopback": withAdmin(),
		"tokens":   {"admin": values{"enabled": true}, "tokens": values{"secretName": "tokens"}},
	} {
		t.Run(name, func(t *testing.T) { acceptedByTheServer(t, "", given) })
	}
}

func TestNotesTellHowToReachTheAdminService(t *testing.T) {
	_, notes, err := tryRender(t, "", withAdmin())
	if err != nil || !strings.Contains(notes, "port-forward pod/prefscore-0 50052") {
		t.Errorf("%s (%v)", notes, err)
	}
}
