// SPDX-License-Identifier: Apache-2.0
// Objects as short byte strings: what the manifests keep of a hundred thousand endpoints, at a third of the
// memory of the objects. Equal objects pack to equal bytes. For this process only: no versions, host byte
// order.
#pragma once

#include <string>
#include <string_view>

#include "agent/kube/objects.h"

namespace fairlead::kube {

std::string Pack(const Object& object);
Object Unpack(std::string_view packed);  // only of what Pack made

}  // namespace fairlead::kube
