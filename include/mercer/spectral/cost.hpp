#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mercer/spectral/eigenpairs.hpp"

/// The cost model behind Method::automatic, and the loop that measures what it predicts.
namespace mercer::spectral {

/// Predicted seconds of the solve alone (no checks, no redistribution) for k of n pairs, or for the
/// values only, on ranks = rows x cols of `shape`. Local, pure. `generic_kernels` as ElpaBuild
/// says.
double predicted_seconds(Method method, Index n, Index k, bool vectors, dist::GridShape shape,
                         bool generic_kernels, bool single_precision);

/// What one backend took.
struct Timing {
  Method method = Method::automatic;  ///< the backend asked for; `automatic` among them
  Method ran = Method::automatic;     ///< the backend that ran
  double seconds = 0;                 ///< of the solve, largest over the ranks
  double check_seconds = 0;           ///< of Mercer's own checks
  double predicted = 0;               ///< by the model
  double residual = 0;                ///< largest relative residual
  double orthogonality = 0;
  std::string failure;  ///< why it did not run; empty when it did
};

/// Solves the same problem with every backend and with `automatic`, `repeats` times each in turn,
/// and keeps the shortest time. `make` assembles K afresh for each run and is collective. This is
/// the measurement that the coefficients in cost.cpp were fitted to. Collective.
template <class T>
std::vector<Timing> time_backends(const std::function<dist::DistMatrix<T>()>& make, Index k,
                                  int repeats = 1);

/// A kernel matrix to measure with: K = (1/n) k(x_i, x_j), k the arc-cosine kernel of degree 1 on n
/// random points of the unit sphere in `d` dimensions. Local: O(n^2 d / P) flops.
template <class T>
dist::DistMatrix<T> sample_kernel(const dist::ProcessGrid& grid, Index n, Index nb, Index d = 16);

}  // namespace mercer::spectral
