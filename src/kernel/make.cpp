#include <cmath>

#include "kernels.hpp"
#include "steps.hpp"

namespace mercer::kernel {

std::shared_ptr<const Kernel> make(const Options& options) {
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
  const auto make = architecture.of_images() ? image_kernel : network_kernel;
  const bool tangent = options.kind == Kind::ntk;
  const bool standard = tangent && options.parametrization == Parametrization::standard;
  return make(architecture, tangent,
              standard ? standard_weight_terms(architecture) : std::vector<double>{});
}

}  // namespace mercer::kernel
