#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/spectral/eigenfunctions.hpp"

/// What the eigenvalues of K and the parts of the targets along its eigenvectors say of learning
/// with it. `lambda`: lambda_1 >= ... >= lambda_k of n; `resolution`: the error of eigenvalues,
/// relative to lambda_1. All but align() is local and pure.
namespace mercer::spectral {

/// lambda_1/lambda_k. At k = n it is the condition number of K, for fewer pairs a lower bound of it.
struct Condition {
  double value = 0;
  bool whole = false;  ///< k = n
  /// lambda_k is no larger than its error e = resolution lambda_1: `value` is then the bound
  /// lambda_1/(max(lambda_k, 0) + e), and the number itself may be infinite.
  bool at_least = false;
};
/// Throws InputError where there are no eigenvalues or lambda_1 is not positive.
Condition condition(std::span<const double> lambda, Index n, double resolution);

/// The effective rank of F^(1/2), F = (1/n) J^T J the Fisher information matrix of the squared loss,
/// which has the nonzero eigenvalues of K = (1/n) J J^T: |{i : lambda_i^(1/2) > epsilon
/// lambda_1^(1/2)}| ([B] (6) and sec. 4, there with absolute epsilon).
struct EffectiveRank {
  double epsilon = 0;
  Index count = 0;
  bool at_least = false;  ///< all k eigenvalues and the next one are above: more may follow
  bool resolved = true;   ///< false: epsilon^2 is no larger than the resolution, count is noise
};
/// `next`: lambda_(k+1). Where `epsilons` is empty, for 0.1, 0.01, ... as far as they are resolved
/// and until all k eigenvalues are above.
/// Throws InputError for an epsilon that is not between 0 and 1.
std::vector<EffectiveRank> effective_ranks(std::span<const double> lambda, double next, Index n,
                                           double resolution, std::span<const double> epsilons);

/// log lambda_i = log C - exponent x_i.
enum class Law {
  power,             ///< x = log i: lambda_i = C i^-a
  root_exponential,  ///< x = i^(1/2): C e^(-b i^(1/2))
  exponential        ///< x = i: C e^(-b i)
};
inline constexpr Law kLaws[] = {Law::power, Law::root_exponential, Law::exponential};
struct LawFit {
  Law law{};
  double C = 0, exponent = 0;
  double error = 0;     ///< standard error of the exponent
  double residual = 0;  ///< root mean square of log lambda_i - log C + exponent x_i over the points
  double at(Index i) const;  ///< the law at i = 1, 2, ...
};
/// "0.31 i^-1.52": the law with its numbers. Local.
std::string text(const LawFit& fit);
/// Fits of all laws over i = first ... last. On S^(d-1) the NTK of a ReLU network with biases has
/// mu_k ~ k^-d of multiplicity ~ k^(d-2) ([G] sec. 4), and so lambda_i ~ i^(-d/(d-1)).
struct Decay {
  Index first = 0, last = 0;
  Index points = 0;
  std::vector<LawFit> fits{};  ///< as kLaws
  std::size_t best = 0;        ///< place of the one with the least residual
};
/// Least squares over the eigenvalues from the tenth on (the first are outliers) up to n/4 (beyond
/// it n samples distort them) that are above 100 times the resolution. Neighbours are correlated,
/// and those of a space are equal: consecutive eigenvalues are averaged to ten points, which divide
/// the range of log i evenly; a space is never divided, nor counted where the range cuts it. Each
/// point counts as one observation, in the fit and its standard error, which allows for points of
/// unequal scatter (HC3: each residual over 1 less its leverage). Empty where that leaves less
/// than five points; `why` then says so.
std::optional<Decay> fit_decay(std::span<const double> lambda, std::span<const Space> spaces,
                               Index n, double resolution, std::string& why);

/// Steps of gradient descent, w <- w - eta J^T r, that multiply the part of the residual along v_i
/// by 1 - eta n lambda_i each ([G] (6); eta as in mercer-train), until it is 1/`factor` of its
/// start: log(factor)/-log|1 - eta n lambda_i|, at least 1; infinite where it does not fall. `rate`
/// is eta n.
double descent_steps(double lambda, double rate, double factor);

/// Parts of targets y_c along the eigenvectors, by spaces, so that no basis matters.
struct Alignment {
  Index spaces = 0;                        ///< how many, the first ones of those given
  Index columns = 0;                       ///< c
  std::vector<double> parts{};             ///< spaces x c: sum over the space of (v_i^T y)^2/|y|^2
  std::vector<double> total{};             ///< spaces: the same of all columns, |V_s^T Y|^2/|Y|^2
  std::vector<double> outside{};           ///< c: 1 less the parts
  double outside_total = 0;                ///< of all columns
  std::vector<double> kernel_alignment{};  ///< c: y^T K y/(|K|_F |y|^2) with all n pairs; or empty
};
/// Y: n x c by rows over the ranks of the pairs' grid. The last space is left out where lambda_k
/// and lambda_(k+1) differ by no more than `resolution` lambda_1. A column of zeros has NaN for its
/// parts and its part in all columns is 0. 2 n k c flops; memory: two copies of Y on the grid, and
/// k c numbers there. Collective. Throws InputError for pairs without vectors, another number of
/// rows, no columns, and where Y is zero or not finite.
template <class T>
Alignment align(const Eigenpairs<T>& pairs, std::span<const Space> spaces,
                const RowBlock<double>& Y, double resolution);

}  // namespace mercer::spectral
