// SPDX-License-Identifier: Apache-2.0
// A hosted model as ModelService and AdminService tell of it.
#pragma once

#include "prefscore/v1/models.pb.h"
#include "server/scoring/hosted_model.h"

namespace prefscore {

void ModelToProto(const HostedModel& model, const ModelRegistry& registry, v1::Model& proto);
// Of a model that could not be loaded.
void MissingToProto(const MissingModel& model, const ModelRegistry& registry, v1::Model& proto);

}  // namespace prefscore
