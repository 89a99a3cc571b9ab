// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
)

func TestAlertsLeadToTheRunbookWhereItCanBeRead(t *testing.T) {
	for base, want := range map[string]string{
		"":                            "deploy/RUNBOOK.md#",
		"https://git.example/blob/v1": "https://git.example/blob/v1/deploy/RUNBOOK.md#",
		"https://git.example/":        "https://git.example/deploy/RUNBOOK.md#",
	} {
		given := values{"prometheusRule": values{"enabled": true, "runbookBase": base}}
		var rules monitoring.PrometheusRule
		find(t, render(t, "", given), "PrometheusRule", "prefscore", &rules)
		for _, group := range rules.Spec.Groups {
			for _, rule := range group.Rules {
				if rule.Alert == "" {
					continue
				}
				if got := rule.Annotations["runbook_url"]; got != want+strings.ToLower(rule.Alert) {
					t.Errorf("%q: %s leads to %s", base, rule.Alert, got)
				}
			}
		}
	}
}

func TestDashboardsComeWhereGrafanaLooksForThem(t *testing.T) {
	if kinds(render(t, "", nil))["ConfigMap"] != 1 {
		t.Error("they come without being asked for")
	}
	var dashboards core.ConfigMap
	objects := render(t, "", values{"dashboards": values{"enabled": true}})
	find(t, objects, "ConfigMap", "prefscore-dashboards", &dashboards)
	if dashboards.Labels["grafana_dashboard"] != "1" {
		t.Error(dashboards.Labels)
	}
	files, err := os.ReadDir("../../../deploy/grafana/dashboards")
	if err != nil || len(files) == 0 || len(files) != len(dashboards.Data) {
		t.Fatalf("%d files, %d in the ConfigMap (%v)", len(files), len(dashboards.Data), err)
	}
	for _, file := range files {
		want, err := os.ReadFile("../../../deploy/grafana/dashboards/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		got := dashboards.Data[file.Name()]
		if !json.Valid([]byte(got)) || strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
			t.Errorf("%s is another", file.Name())
		}
	}
}
