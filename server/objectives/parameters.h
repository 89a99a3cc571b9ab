// SPDX-License-Identifier: Apache-2.0
// Parameters that several objectives share.
#pragma once

#include "server/objectives/definition.h"

namespace prefscore {

constexpr ParameterDefinition LabelSmoothing(double default_value = 0.0) {
  return {.name = "label_smoothing",
          .default_value = default_value,
          .minimum = 0.0,
          .maximum = 0.5,
          .meaning = "assumed share of flipped labels",
          .source = "TRL's DPOConfig"};
}

constexpr ParameterDefinition CpoAlpha(double default_value, const char* source) {
  return {.name = "cpo_alpha",
          .default_value = default_value,
          .minimum = 0.0,
          .meaning = "weight of the chosen completion's negative log-prob per token",
          .source = source};
}

inline constexpr const char* kDivergenceNames[] = {"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence",
                                                   nullptr};
enum DivergenceType { kReverseKl, kForwardKl, kJsDivergence, kAlphaDivergence };

inline constexpr ParameterDefinition kDivergenceType = {
    .name = "f_divergence_type",
    .default_value = kReverseKl,
    .meaning = "how a log-ratio becomes a score",
    .source = "TRL's DPOConfig",
    .choices = kDivergenceNames,
};
inline constexpr ParameterDefinition kAlphaCoefficient = {
    .name = "f_alpha_divergence_coef",
    .default_value = 0.5,
    .meaning = "alpha of alpha_divergence, s(x) = (exp((alpha-1)x)-1)/(alpha-1); 1 is reverse_kl",
    .source = "TRL's DPOConfig since 0.29",
};
// TRL <= 0.28 wrote the same family with 1 - alpha.
inline constexpr ParameterDefinition kOldAlphaCoefficient = {
    .name = "f_alpha_divergence_coef_trl_0_28",
    .default_value = kUnset,
    .meaning = "the same alpha as TRL up to 0.28 counted it, 1 - f_alpha_divergence_coef; one of the two may be given",
    .source = "TRL's DPOConfig up to 0.28",
};

}  // namespace prefscore
