#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::spectral {

enum class Method { automatic, elpa1, elpa2, scalapack, lapack, krylov };

struct Options {
  Index top = -1;       ///< k, how many of the largest eigenvalues; -1: all
  bool vectors = true;  ///< false: values only
  Method method = Method::automatic;
  std::uint64_t seed = 0;  ///< of the probe vectors
  /// The solve fails where a residual (relative to lambda_1), max |V^T V - I| or the relative error
  /// of the trace exceeds tolerance n; in single precision 1.2e7 tolerance sqrt(n).
  double tolerance = 1e-12;
  double krylov_tolerance = 1e-10;  ///< Method::krylov: the residuals that it iterates to
  std::function<void(const std::string&)> say = {};  ///< called on rank 0; may be empty
  /// Why `method` was chosen, for Eigenpairs::reason; empty: "asked for". Not used with
  /// `automatic`, which gives its own reason.
  std::string reason = {};
};

/// The eigenpairs of a symmetric positive semidefinite K, descending.
template <class T>
struct Eigenpairs {
  std::vector<double> values{};  ///< lambda_1 >= ... >= lambda_k, on every rank
  double next = 0;               ///< lambda_(k+1); at k = n lambda_n
  /// n x k, block-cyclic; column i belongs to values[i]; n x 0 for values only. Signs by the rule
  /// of signs.hpp. For equal eigenvalues some orthonormal basis of their eigenspace.
  dist::DistMatrix<T> vectors;
  /// |K v_i - lambda_i v_i| / lambda_1, measured by Mercer; empty for values only.
  std::vector<double> residuals{};
  bool residuals_exact = false;  ///< false: estimated from 16 Gaussian probe columns
  double orthogonality = -1;     ///< max |V^T V - I|; -1: not measured (values only)
  double trace = 0;              ///< of K, before the solve
  /// |trace - sum lambda| / trace where the solver computed all n eigenvalues; else -1.
  double trace_error = -1;
  Method method = Method::automatic;  ///< the one that ran
  std::string reason{};      ///< why it ran: the cost model's figures, or why another one could not
  double seconds = 0;        ///< solve, redistribution and checks
  double solve_seconds = 0;  ///< of these, the solver (with its redistribution)

  Index n() const { return vectors.rows(); }
  Index k() const { return static_cast<Index>(values.size()); }
};

/// The top k eigenpairs of the n x n symmetric K (block-cyclic, both triangles filled; destroyed).
/// Direct solvers compute the lowest k + 1 pairs of -K, so that lambda_(k+1) is known. `automatic`
/// takes the method that choose() predicts to be fastest, LAPACK on one rank for n <= 64. Where a
/// solver cannot work on K's distribution (empty process rows or columns for ELPA, an unsafe block
/// size for p?syevd), K is redistributed to smaller blocks or to one rank. Method::krylov is
/// krylov() (krylov.hpp) on the assembled K. The result has K's grid and block size. Residuals and
/// orthogonality, and the trace where all n values are known, are checked after every solve.
///
/// Collective over the grid's all() ranks. Memory and flops: plan(). Throws InputError (K not
/// square, `top` out of range, LAPACK's n above 32766) and RunError (K not finite, the solver or a
/// check fails).
template <class T>
Eigenpairs<T> eigenpairs(dist::DistMatrix<T>&& K, const Options& options = {});

/// A method, the seconds that the cost model predicts for it (see cost.hpp), and why it was chosen.
struct Choice {
  Method method = Method::automatic;
  double seconds = 0;
  std::string reason;
};
/// The fastest direct solver for k of n eigenpairs (k < 0: all) on `shape`, as predicted. For all
/// pairs p?syevd is preferred, which takes the least memory (3.5 matrices), where it is at most 4 %
/// slower, or at most 25 % slower and the fastest would take 1 GiB a rank or more. Of solvers that
/// take more than `room` bytes a rank, with blocks of nb (0: recommended_block()), none is chosen
/// while another fits; where none fits, the one that takes least. Local; pure except that the ELPA
/// build is probed once.
Choice choose(Index n, Index k, bool vectors, dist::GridShape shape, bool single_precision,
              double room = std::numeric_limits<double>::infinity(), Index nb = 0);

/// A good block size for the solver that choose() takes: n/(4 max(p, q)), clamped to 16 ... 64.
/// Local.
Index recommended_block(Index n, dist::GridShape shape);

/// What eigenpairs() takes for k of n pairs (k < 0: all) on `shape` with blocks of nb; `automatic`
/// as choose() decides. Local.
struct Plan {
  double bytes_per_rank = 0;  ///< peak of the solve, K and V included
  double flops = 0;
};
Plan plan(Index n, Index k, bool vectors, Method method, dist::GridShape shape, Index nb,
          bool single_precision);

/// The largest residual, relative to lambda_1, that rounding errors alone may explain in a direct
/// solver: 10 sqrt(n) eps, eps = 2^-23 or 2^-52 (n independent rounding errors grow as sqrt(n)).
/// Local.
double rounding_residual(Index n, bool single_precision);

std::string name(Method method);
/// "auto", "elpa1", "elpa2", "scalapack", "lapack", "krylov". Throws InputError.
Method parse_method(std::string_view text);

/// Replaces the estimated residuals by exact ones, |K v_i - lambda_i v_i|/lambda_1, from a K that
/// was assembled again on the vectors' grid. 2 n^2 k flops. Memory: one more n x k. Collective.
/// Throws InputError where the shapes do not match.
template <class T>
void measure_residuals(const dist::DistMatrix<T>& K, Eigenpairs<T>& pairs);

}  // namespace mercer::spectral
