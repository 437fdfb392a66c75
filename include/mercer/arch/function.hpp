#pragma once

namespace mercer::arch {

/// The families of activations: see Activation. A switch over them has no `default`, so that the
/// compiler finds every place that a new one needs.
enum class Function { rectifier, erf, gelu, sin, tanh, softplus, sigmoid };

}  // namespace mercer::arch
