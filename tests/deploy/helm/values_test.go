// SPDX-License-Identifier: Apache-2.0
package helm

import (
	"strings"
	"testing"
)

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for name, test := range map[string]struct {
		given values
		want  string
	}{
		"a typo":                     {values{"replica": 2}, "replica"},
		"a typo further in":          {values{"tls": values{"secret": "x"}}, "secret"},
		"no number":                  {values{"replicas": "two"}, "replicas"},
		"less than nothing":          {values{"gpus": -1}, "gpus"},
		"an unknown autoscaler":      {values{"autoscaling": values{"kind": "vpa"}}, "kind"},
		"an option the chart sets":   {values{"config": values{"listen": "0.0.0.0:1"}}, "listen"},
		"an admin listener":          {values{"config": values{"admin-listen": "0.0.0.0:1"}}, "admin-listen"},
		"a delay in words":           {values{"config": values{"drain-delay": "5s"}}, "drain-delay"},
		"dashes of a flag":           {values{"config": values{"--threads": 1}}, "--threads"},
		"a table in the options":     {values{"config": values{"limits": values{"threads": 1}}}, "limits"},
		"a model outside the volume": {values{"config": values{"model": []any{"policy=/tmp/policy"}}}, "model"},
		"no model":                   {values{"config": values{"model": []any{}}}, "model"},
		"a privileged port":          {values{"ports": values{"grpc": 80}}, "grpc"},
		"half a digest":              {values{"image": values{"digest": "sha256:12"}}, "digest"},
		"a runbook without scheme":   {values{"prometheusRule": values{"runbookBase": "git.example"}}, "runbookBase"},
		"no volume of models":        {values{"models": values{"volume": values{"persistentVolumeClaim": nil}}}, "volume"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := tryRender(t, "", test.given)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
