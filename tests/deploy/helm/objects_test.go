// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"os"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// newOf makes the Go type of each kind that the chart may hold, but for ScaledObject.
var newOf = map[string]func() any{
	"apps/v1/StatefulSet":                     func() any { return new(apps.StatefulSet) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"monitoring.coreos.com/v1/PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"networking.k8s.io/v1/NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"policy/v1/PodDisruptionBudget":           func() any { return new(policy.PodDisruptionBudget) },
	"v1/ConfigMap":                            func() any { return new(core.ConfigMap) },
	"v1/Service":                              func() any { return new(core.Service) },
	"v1/ServiceAccount":                       func() any { return new(core.ServiceAccount) },
}

// scaledObjectSchema is that of KEDA's own definition, made to refuse fields it does not know. KEDA's Go types would
// bring 360 packages along.
func scaledObjectSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/keda.sh_scaledobjects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	schema := definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	refuseUnknownFields(schema)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("scaledobject.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("scaledobject.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func refuseUnknownFields(schema map[string]any) {
	if properties, ok := schema["properties"].(map[string]any); ok {
		if schema["x-kubernetes-preserve-unknown-fields"] != true {
			schema["additionalProperties"] = false
		}
		for _, property := range properties {
			refuseUnknownFields(property.(map[string]any))
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		refuseUnknownFields(items)
	}
}

func TestEveryObjectIsWhatKubernetesKnows(t *testing.T) {
	scaledObject := scaledObjectSchema(t)
	check := func(t *testing.T, objects []object) {
		for _, one := range objects {
			id := one.APIVersion + "/" + one.Kind
			if one.Kind == "ScaledObject" {
				var content any
				if err := yaml.Unmarshal(one.text, &content); err != nil {
					t.Fatal(err)
				}
				if err := scaledObject.Validate(content); err != nil {
					t.Errorf("%s: %v\n%s", id, err, one.text)
				}
				continue
			}
			makeOne, known := newOf[id]
			if !known {
				t.Errorf("no type for %s", id)
				continue
			}
			if err := yaml.UnmarshalStrict(one.text, makeOne()); err != nil {
				t.Errorf("%s %s: %v\n%s", id, one.Metadata.Name, err, one.text)
			}
		}
	}
	eachValueFile(t, func(t *testing.T, file string) { check(t, render(t, file, nil)) })
	t.Run("hpa", func(t *testing.T) {
		objects := render(t, "", values{"autoscaling": values{"kind": "hpa"}})
		check(t, objects)
		if kinds(objects)["HorizontalPodAutoscaler"] != 1 {
			t.Error("no HorizontalPodAutoscaler")
		}
	})
}

func TestAnUnknownFieldOfAScaledObjectIsFound(t *testing.T) {
	content := values{"spec": values{"scaleTargetRef": values{"name": "x", "colour": "red"}, "triggers": []any{}}}
	if scaledObjectSchema(t).Validate(content) == nil {
		t.Error("accepted")
	}
}

func TestHelmLintHasNothingToSay(t *testing.T) {
	eachValueFile(t, func(t *testing.T, file string) {
		given := values{}
		if file != "" {
			given = readValues(t, file)
		}
		result := lint.All(chartFolder, given, "scoring", true)
		for _, message := range result.Messages {
			if message.Severity > support.InfoSev {
				t.Error(message)
			}
		}
	})
}
