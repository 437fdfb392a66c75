#include <cmath>

#include "kernels.hpp"
#include "steps.hpp"

namespace mercer::kernel {

std::shared_ptr<const Kernel> make(const Options& options) {
  const bool recursion = options.kind == Kind::ntk || options.kind == Kind::nngp;
  if (options.single_state && !(recursion && options.architecture.of_images()))
    throw InputError("`state` single: is for kernels of images, with layers such as conv");
  switch (options.kind) {
    case Kind::linear:
      return linear_kernel();
    case Kind::gaussian:
    case Kind::laplace:
      if (!(options.bandwidth > 0 && std::isfinite(options.bandwidth)))
        throw InputError("`bandwidth` {}: must be positive and finite", options.bandwidth);
      return distance_kernel(options.kind, options.bandwidth);
    case Kind::ntk:
    case Kind::nngp:
      break;
  }
  // Parsing validates: an architecture that was put together by hand is checked like a text.
  arch::Options again;
  again.weight_std = options.architecture.weight_std;
  again.bias_std = options.architecture.bias_std;
  const auto architecture =
      arch::parse(options.architecture.text(), again).on(options.architecture.image);
  const bool tangent = options.kind == Kind::ntk;
  const bool standard = tangent && options.parametrization == Parametrization::standard;
  const auto terms = standard ? standard_weight_terms(architecture) : std::vector<double>{};
  if (architecture.of_images())
    return image_kernel(architecture, tangent, terms, options.single_state);
  return network_kernel(architecture, tangent, terms);
}

}  // namespace mercer::kernel
