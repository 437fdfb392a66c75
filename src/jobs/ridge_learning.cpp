#include <algorithm>
#include <cmath>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/krr/cost.hpp"
#include "ridge_parts.hpp"

namespace mercer::jobs {
namespace {

using dist::RowBlock;

/// The rows of A in the list (the same on every rank), in its order. Collective.
RowBlock<double> take(const RowBlock<double>& A, const std::vector<Index>& rows) {
  RowBlock<double> taken(A.comm(), std::ssize(rows), A.cols());
  const auto own = std::span<const Index>(rows).subspan(
      static_cast<std::size_t>(taken.first_row()), static_cast<std::size_t>(taken.local_rows()));
  const auto fetched = dist::fetch_rows(A, own);
  std::copy_n(fetched.data(), fetched.size(), taken.values().begin());
  return taken;
}

/// n rows drawn at random without repetition, ascending, and the others. Local.
struct Draw {
  std::vector<Index> rows, others;
};
Draw draw(Index all, Index n, Index repeat, std::uint64_t seed) {
  const Random random(seed, Stream::subsets, static_cast<std::uint32_t>(n));
  std::vector<std::pair<double, Index>> keys;
  for (Index i = 0; i < all; ++i)
    keys.emplace_back(random.uniform(static_cast<std::uint64_t>(repeat * all + i)), i);
  std::ranges::sort(keys);
  Draw result;
  for (Index i = 0; i < all; ++i)
    (i < n ? result.rows : result.others).push_back(keys[static_cast<std::size_t>(i)].second);
  std::ranges::sort(result.rows);
  std::ranges::sort(result.others);
  return result;
}

/// Mean over the rows with targets of |F - Y|^2, summed over outputs. Collective.
double mean_square(const RowBlock<double>& F, const RowBlock<double>& Y) {
  double sums[2] = {0, 0};
  for (Index i = 0; i < Y.local_rows(); ++i) {
    if (std::isnan(Y.row(i)[0])) continue;
    for (std::size_t o = 0; o < Y.row(i).size(); ++o)
      sums[0] += std::pow(F.row(i)[o] - Y.row(i)[o], 2);
    ++sums[1];
  }
  Y.comm().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums[0] / sums[1];
}

/// The plan of a fit to some of the rows with the ridge gamma, whose memory and time are part of
/// `whole`. Local.
RidgePlan plan_of_subset(const RidgePlan& whole, const data::Dataset& rows, double gamma) {
  RidgePlan plan = whole;
  plan.options = options_of_subset(whole.options, gamma);
  plan.rows_hash = rows.hash;
  plan.sizes.n = rows.rows();
  plan.nb = plan.sizes.nb = block_of_subset(whole, rows.rows());
  plan.strategy = {.eigensolver = plan.options.eigensolver};
  return plan;
}

/// The fits to subsets. Borrows its arguments. Calls are collective.
class Measurement {
 public:
  Measurement(const RidgePlan& plan, const data::Split& sets, const dist::ProcessGrid& grid,
              Monitor& monitor)
      : plan_(plan), sets_(sets), grid_(grid), monitor_(monitor) {}

  /// The error of each of the fits to n rows.
  std::vector<double> errors(Index n, double gamma) {
    std::vector<double> all;
    const Index subsets = plan_.options.curve.subsets;
    for (Index repeat = 0; repeat < subsets; ++repeat) {
      all.push_back(error(draw(sets_.train.rows(), n, repeat, plan_.seed), gamma));
      const auto sizes = std::ssize(plan_.options.curve.sizes);
      monitor_.progress(static_cast<double>(++done_) / static_cast<double>(sizes * subsets));
    }
    return all;
  }
  double flops() const { return flops_; }

 private:
  double error(const Draw& rows, double gamma) {
    const auto& train = sets_.train;
    data::Split subset;
    subset.train = data::of_rows(take(train.inputs, rows.rows), take(train.targets, rows.rows));
    subset.train.image = train.image;
    const auto plan = plan_of_subset(plan_, subset.train, gamma);
    Monitor silent;  // a note or a warning for each subset would say the same
    const auto fit = jobs::fit(plan, subset, grid_, silent);
    flops_ += fit.flops;
    const auto predict = [&](const RowBlock<double>& Z) {
      auto sizes = plan.sizes;
      sizes.m = Z.rows();
      flops_ += gram::apply_cross_cost(sizes).flops;
      return gram::apply_cross(plan.kernel, Z, subset.train.inputs, fit.best_fit().alpha,
                               {.panel_bytes = plan.panel_bytes, .nb = plan.nb});
    };
    if (on_test_rows(sets_)) return mean_square(predict(sets_.test->inputs), sets_.test->targets);
    return mean_square(predict(take(train.inputs, rows.others)), take(train.targets, rows.others));
  }

  const RidgePlan& plan_;
  const data::Split& sets_;
  const dist::ProcessGrid& grid_;
  Monitor& monitor_;
  Index done_ = 0;
  double flops_ = 0;
};

/// By leave-one-out errors of all rows, carried over by each point's factor. Collective.
template <class T>
void predict_in(const RidgeFit& fit, const data::Dataset& train, const CurveOptions& options,
                bool relative, LearningCurve& curve) {
  const krr::SpectralPath<T> path(*pairs_of<T>(fit), fit.spectrum, train.targets);
  const double all = static_cast<double>(train.rows());
  std::vector<double> ridges;
  for (const Index n : options.sizes) {
    const double gamma = fit.best_fit().ridge * (relative ? all / static_cast<double>(n) : 1);
    curve.points.push_back(krr::predicted_error(fit.spectrum.g, path.energy(), n, gamma));
    ridges.push_back(curve.points.back().sample_ridge);
  }
  const auto rmse = path.leave_one_out(ridges);
  for (std::size_t p = 0; p < rmse.size(); ++p)
    curve.leave_one_out.push_back(curve.points[p].factor * rmse[p] * rmse[p] *
                                  static_cast<double>(train.outputs()));
}

}  // namespace

Index block_of_subset(const RidgePlan& whole, Index n) {
  return std::min(whole.nb, spectral::recommended_block(n, whole.sizes.shape));
}

RidgeOptions options_of_subset(const RidgeOptions& whole, double gamma) {
  RidgeOptions options = whole;
  options.curve = {};
  options.ridges = {gamma};
  options.relative = false;
  options.choice = std::nullopt;
  options.given.clear();
  options.spectrum = {};
  return options;
}

bool on_test_rows(const data::Split& sets) {
  return sets.test.has_value() && sets.test->known_rows > 0;
}

LearningCurve learning_curve(const RidgePlan& plan, const RidgeFit& fit, const data::Split& sets,
                             const dist::ProcessGrid& grid, Monitor& monitor) {
  const auto& options = plan.options.curve;
  if (!options.asked()) throw InputError("`learning_curve`: the plan has none");
  require_planned(plan.rows_hash, sets.train);
  LearningCurve curve;
  curve.on_test_rows = on_test_rows(sets);
  curve.subsets = options.subsets;
  curve.same_ridge = !plan.options.relative;
  monitor.phase("curve", [&] {
    if (plan.single())
      predict_in<float>(fit, sets.train, options, plan.options.relative, curve);
    else
      predict_in<double>(fit, sets.train, options, plan.options.relative, curve);
  });
  curve.flops = krr::path_cost(plan.sizes, 0, static_cast<double>(options.sizes.size())).flops;
  if (options.subsets == 0) return curve;
  const Monitor::Phase scope(monitor, "measure");
  Measurement measurement(plan, sets, grid, monitor);
  const auto subsets = static_cast<double>(options.subsets);
  for (const auto& point : curve.points) {
    const auto errors = measurement.errors(point.n, point.ridge);
    const double mean = std::accumulate(errors.begin(), errors.end(), 0.0) / subsets;
    double square = 0;
    for (const double error : errors) square += (error - mean) * (error - mean);
    curve.measured.push_back(mean);
    curve.measured_error.push_back(std::sqrt(square / (subsets - 1) / subsets));
  }
  curve.flops += measurement.flops();
  return curve;
}

void write(io::Hdf5File& file, const LearningCurve& curve, const data::Preparation& preparation) {
  const auto column = [&](const char* name, auto&& value) {
    std::vector<double> values;
    for (const auto& point : curve.points) values.push_back(static_cast<double>(value(point)));
    file.write(std::string("/learning_curve/") + name, values);
  };
  using Point = krr::CurvePoint;
  column("n", [](const Point& p) { return p.n; });
  column("ridge", [](const Point& p) { return p.ridge; });
  column("kappa", [](const Point& p) { return p.kappa; });
  column("freedom", [](const Point& p) { return p.freedom; });
  column("freedom_square", [](const Point& p) { return p.freedom_square; });
  column("bias_and_noise", [](const Point& p) { return p.bias_and_noise; });
  column("predicted", [](const Point& p) { return p.error; });
  file.write("/learning_curve/predicted_loo", curve.leave_one_out);
  if (!curve.measured.empty()) {
    file.write("/learning_curve/measured", curve.measured);
    file.write("/learning_curve/measured_error", curve.measured_error);
  }
  file.attribute("/learning_curve/predicted", "unit",
                 fmt::format("({})^2, summed over outputs", prepared_unit(preparation)));
}

}  // namespace mercer::jobs
