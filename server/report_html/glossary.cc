// SPDX-License-Identifier: Apache-2.0
// The symbols of the page.
#include <string>

#include "server/report_html/html_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {

std::string GlossarySection() {
  return R"(<dl class="glossary">
<dt>h</dt><dd>The policy’s margin, log π(chosen) − log π(rejected), in nats. Above 0 the policy ranks the pair as the
annotator does: <em>right</em>; below, <em>wrong</em>; at 0, a <em>tie</em>.</dd>
<dt>h0</dt><dd>The reference’s margin, log π₀(chosen) − log π₀(rejected). Pairs with h0 &lt; 0 are called
pessimistic.</dd>
<dt>a, b</dt><dd>Log-ratios of the chosen and of the rejected completion, log π(y)/π₀(y); h − h0 = a − b. Both below 0:
likelihood displacement.</dd>
<dt>β</dt><dd>Weight of the policy’s log-probs.</dd>
<dt>γ</dt><dd>Weight of the reference’s log-probs. γ = β is the original DPO; γ = 0 leaves the reference out.</dd>
<dt>z</dt><dd>The logit of “chosen is preferred”, β·h − γ·h0. DPO’s loss is log(1 + exp(−z)), the margin hinge max(0,
−z).</dd>
<dt>required margin</dt><dd>(γ/β)·h0: the policy margin from which on z ≥ 0.</dd>
<dt>gradient mass</dt><dd>(|∂loss/∂log π(chosen)| + |∂loss/∂log π(rejected)|) / 2 of a pair; β·σ(−z) for DPO’s loss.
Sums and shares are over pairs.</dd>
<dt>effective sample size</dt><dd>(Σ mass)² / Σ mass²: how many pairs of equal mass would have the same gradient.</dd>
<dt>active</dt><dd>z &lt; 0: the margin hinge still pulls.</dd>
<dt>still learning, saturated</dt><dd>Pairs whose weight σ(−z) is above the learning threshold, or below the saturation
threshold, of the options.</dd>
<dt>agreement</dt><dd>h and h0 have the same sign.</dd>
</dl>
)";
}

}  // namespace prefscore::report_html
