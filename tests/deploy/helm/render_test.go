// SPDX-License-Identifier: Apache-2.0

// Package helm renders the chart with helm's own code and reads the result with Kubernetes' own types.
package helm

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../../deploy/helm/prefscore"

// valueFiles are what an operator may start from; "" is the chart's default.
var valueFiles = []string{"", "examples/laptop.yaml", "examples/single-gpu.yaml", "examples/gpu-cluster.yaml"}

type values = map[string]any

// object is one rendered manifest.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	text []byte
}

// tryRender gives what `helm template prefscore --namespace scoring -f file` and --set overrides would.
func tryRender(t *testing.T, file string, overrides values) ([]object, string, error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	given := values{}
	if file != "" {
		if given, err = chartutil.ReadValuesFile(filepath.Join(chartFolder, file)); err != nil {
			t.Fatal(err)
		}
	}
	given = chartutil.CoalesceTables(overrides, given)
	release := chartutil.ReleaseOptions{Name: "prefscore", Namespace: "scoring", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, "", err
	}
	var objects []object
	notes := ""
	for name, content := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			notes = content
			continue
		}
		for _, document := range regexp.MustCompile(`(?m)^---\s*$`).Split(content, -1) {
			if strings.TrimSpace(document) == "" {
				continue
			}
			one := object{text: []byte(document)}
			if err := yaml.Unmarshal(one.text, &one); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			objects = append(objects, one)
		}
	}
	return objects, notes, nil
}

func render(t *testing.T, file string, overrides values) []object {
	t.Helper()
	objects, _, err := tryRender(t, file, overrides)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return objects
}

// find decodes the one object of this kind and name into `into`, strictly.
func find(t *testing.T, objects []object, kind, name string, into any) {
	t.Helper()
	for _, one := range objects {
		if one.Kind == kind && one.Metadata.Name == name {
			if err := yaml.UnmarshalStrict(one.text, into); err != nil {
				t.Fatalf("%s %s: %v", kind, name, err)
			}
			return
		}
	}
	t.Fatalf("no %s is named %s", kind, name)
}

func kinds(objects []object) map[string]int {
	counts := map[string]int{}
	for _, one := range objects {
		counts[one.Kind]++
	}
	return counts
}

// eachValueFile runs a test for the chart's default and every example.
func eachValueFile(t *testing.T, test func(t *testing.T, file string)) {
	for _, file := range valueFiles {
		name := "default"
		if file != "" {
			name = strings.TrimSuffix(filepath.Base(file), ".yaml")
		}
		t.Run(name, func(t *testing.T) { test(t, file) })
	}
}

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // helm says at each load that the rules are a link
	os.Exit(m.Run())
}

func TestEveryExampleIsTested(t *testing.T) {
	files, err := os.ReadDir(filepath.Join(chartFolder, "examples"))
	if err != nil || len(files) != len(valueFiles)-1 {
		t.Fatalf("%d examples, %d tested (%v)", len(files), len(valueFiles)-1, err)
	}
}
