#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::spectral {

enum class Method { automatic, elpa1, elpa2, scalapack, lapack, krylov };

struct Options {
  Index top = -1;       ///< how many of the largest eigenvalues; -1: all
  bool vectors = true;  ///< false: values only
  Method method = Method::automatic;
  std::uint64_t seed = 0;  ///< of the probe vectors
  /// Above this, residuals (relative to lambda_1) or |V^T V - I| make the solve fail; per unit of
  /// n.
  double tolerance = 1e-12;
  double krylov_tolerance = 1e-10;  ///< Method::krylov: the residuals that it iterates to
  std::function<void(const std::string&)> say = {};  ///< progress, from rank 0; may be empty
  /// Who chose `method` and why, for Eigenpairs::reason; empty: "asked for". Not for `automatic`,
  /// which gives its own.
  std::string reason = {};
};

/// The eigenpairs of a symmetric positive semidefinite K, descending.
template <class T>
struct Eigenpairs {
  std::vector<double> values{};  ///< lambda_1 >= ... >= lambda_k, on every rank
  double next = 0;               ///< lambda_(k+1); at k = n the smallest eigenvalue that is kept
  /// n x k, column i belongs to values[i]; n x 0 for values only. Signs by the rule of signs.hpp; a
  /// basis of equal eigenvalues is any orthonormal one.
  dist::DistMatrix<T> vectors;
  /// |K v_i - lambda_i v_i| / lambda_1, measured by Mercer; empty where there were no vectors.
  std::vector<double> residuals{};
  bool residuals_exact = false;       ///< false: estimated from 16 Gaussian probe columns
  double orthogonality = -1;          ///< max |V^T V - I|; -1: not measured, there were no vectors
  double trace = 0;                   ///< of K, before the solve
  double trace_error = -1;            ///< |trace - sum lambda| / trace when k = n; else -1
  Method method = Method::automatic;  ///< the one that ran
  std::string reason{};      ///< why: the cost model's figures, or what was refused and why
  double seconds = 0;        ///< solve, redistribution and checks
  double solve_seconds = 0;  ///< of these, the solver (with its redistribution)

  Index n() const { return vectors.rows(); }
  Index k() const { return static_cast<Index>(values.size()); }
};

/// Eigenpairs of the n x n symmetric K (both triangles filled, destroyed): the top k by solving -K.
/// k + 1 eigenvalues are computed so that lambda_(k+1) is known. `automatic` compares the cost
/// model's predictions (choose()) and takes LAPACK on one rank for tiny n; a backend that cannot
/// take the grid (empty process rows or columns for ELPA, an unsafe block size for p?syevd) gets
/// the matrix redistributed by panels to a smaller block size or a smaller grid. Method::krylov is
/// krylov() (krylov.hpp) with K's products. The result has K's grid and block size. Residuals,
/// orthogonality and the trace are measured after every solve; a failed check throws RunError.
/// Collective over the grid's all() ranks. Memory: plan().
template <class T>
Eigenpairs<T> eigenpairs(dist::DistMatrix<T>&& K, const Options& options = {});

/// What the cost model says for one backend: seconds from measured coefficients (see cost.hpp).
struct Choice {
  Method method = Method::automatic;
  double seconds = 0;
  std::string reason;
};
/// The cheapest backend for k of n eigenpairs on `shape`; for all pairs the leanest (p?syevd, 3.5
/// matrices) where it is as fast, or at most a quarter slower and the fastest would take 1 GiB a
/// rank or more. Local, pure but for the ELPA build's probe.
Choice choose(Index n, Index k, bool vectors, dist::GridShape shape, bool single_precision);

/// Block size that is good for `choose`'s answer: at most n/(4 max(p, q)), 16 ... 64.
Index recommended_block(Index n, dist::GridShape shape);

struct Plan {
  double bytes_per_rank = 0;  ///< peak of the solve, K and V included
  double flops = 0;
};
Plan plan(Index n, Index k, bool vectors, Method method, dist::GridShape shape, Index nb,
          bool single_precision);

/// The largest residual that a direct solver may leave by its rounding errors alone, relative to
/// lambda_1: 10 sqrt(n) eps, eps = 2^-23 or 2^-52, how the errors of n roundings grow that are
/// independent of one another. Local.
double rounding_residual(Index n, bool single_precision);

std::string name(Method method);
/// "auto", "elpa1", "elpa2", "scalapack", "lapack", "krylov". Throws InputError.
Method parse_method(std::string_view text);

/// Exact residuals |K v_i - lambda_i v_i|/lambda_1 from a K assembled again: replaces the
/// estimates. 2 n^2 k flops. Memory: one more n x k. Collective.
template <class T>
void measure_residuals(const dist::DistMatrix<T>& K, Eigenpairs<T>& pairs);

}  // namespace mercer::spectral
