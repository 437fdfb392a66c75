#pragma once

#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {

/// NTK (`tangent`) or NNGP of an architecture.
std::shared_ptr<const Kernel> network_kernel(const arch::Architecture& architecture, bool tangent,
                                             Parametrization parametrization);
/// exp(-|x-z|^2/(2 h^2)) and exp(-|x-z|/h).
std::shared_ptr<const Kernel> distance_kernel(bool squared, double bandwidth);
/// <x, z>.
std::shared_ptr<const Kernel> linear_kernel();

}  // namespace mercer::kernel
