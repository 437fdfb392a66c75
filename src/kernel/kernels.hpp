#pragma once

#include <vector>

#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {

/// NTK (`tangent`) or NNGP of an architecture. `weight_terms`: standard_weight_terms() for the NTK
/// of the standard parametrisation, else empty.
std::shared_ptr<const Kernel> network_kernel(const arch::Architecture& architecture, bool tangent,
                                             const std::vector<double>& weight_terms);
/// The same of an architecture on images, with their shape (Architecture::on()). `single`: see
/// Options::single_state.
std::shared_ptr<const Kernel> image_kernel(const arch::Architecture& architecture, bool tangent,
                                           const std::vector<double>& weight_terms, bool single);
/// gaussian exp(-|x-z|^2/(2 h^2)) or laplace exp(-|x-z|/h).
std::shared_ptr<const Kernel> distance_kernel(Kind kind, double bandwidth);
/// <x, z>.
std::shared_ptr<const Kernel> linear_kernel();

}  // namespace mercer::kernel
