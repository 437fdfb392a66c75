#include "mercer/spectral/norm.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "mercer/base/matrix.hpp"
#include "mercer/base/random.hpp"

namespace mercer::spectral {
namespace {

constexpr std::uint32_t kNormSubstream = 7;

double dot(const gram::Operator& A, const Matrix<double>& x, const Matrix<double>& y) {
  double sum = 0;
  for (Index i = 0; i < x.rows(); ++i) sum += x(i, 0) * y(i, 0);
  return A.comm().all_reduce(sum, comm::Op::sum);
}

/// The largest modulus of the eigenvalues of the tridiagonal matrix.
double modulus(const std::vector<double>& a, const std::vector<double>& b) {
  auto negative = a;
  for (double& x : negative) x = -x;
  return std::max(largest_of_tridiagonal(a, b), largest_of_tridiagonal(negative, b));
}

}  // namespace

double largest_of_tridiagonal(const std::vector<double>& a, const std::vector<double>& b) {
  // x lies above all eigenvalues when every pivot of T - x I is negative.
  const auto above_all = [&](double x) {
    double pivot = a[0] - x;
    for (std::size_t i = 1; i < a.size() && pivot < 0; ++i)
      pivot = a[i] - x - b[i - 1] * b[i - 1] / pivot;
    return pivot < 0;
  };
  double low = *std::ranges::max_element(a), high = low;
  for (const double off : b) high += 2 * std::abs(off);
  const double size = std::max(std::abs(low), std::abs(high));
  while (high - low > 4 * std::numeric_limits<double>::epsilon() * size) {
    const double middle = (low + high) / 2;
    if (!(middle > low && middle < high)) break;
    (above_all(middle) ? high : low) = middle;
  }
  return low;
}

double operator_norm(const gram::Operator& A, const NormOptions& options) {
  if (A.size() == 0) return 0;
  const Index m = A.local_rows();
  Matrix<double> v(m, 1), before(m, 1, 0.0), Av(m, 1);
  const Random random(options.seed, Stream::probe, kNormSubstream);
  for (Index i = 0; i < m; ++i)
    v(i, 0) = random.normal(static_cast<std::uint64_t>(A.first_row() + i));
  double norm = std::sqrt(dot(A, v, v));
  std::vector<double> a, b;
  std::deque<double> recent;
  const int most = static_cast<int>(std::min<Index>(options.most, A.size()));
  while (std::ssize(a) < most) {
    for (Index i = 0; i < m; ++i) v(i, 0) /= norm;
    A.apply(v.view(), Av.view());
    a.push_back(dot(A, v, Av));
    const double last = b.empty() ? 0 : b.back();
    for (Index i = 0; i < m; ++i) {
      const double next = Av(i, 0) - a.back() * v(i, 0) - last * before(i, 0);
      before(i, 0) = v(i, 0);
      v(i, 0) = next;
    }
    norm = std::sqrt(dot(A, v, v));
    if (!std::isfinite(norm)) return std::numeric_limits<double>::quiet_NaN();
    recent.push_back(modulus(a, b));
    if (recent.size() > 8) recent.pop_front();
    const bool steady =
        recent.size() == 8 && recent.back() - recent.front() <= options.tolerance * recent.back();
    // What is left of an exhausted Krylov space is rounding.
    const bool exhausted = !(norm > 10 * std::numeric_limits<double>::epsilon() * recent.back());
    if (steady || exhausted) break;
    b.push_back(norm);
  }
  return recent.back();
}

}  // namespace mercer::spectral
