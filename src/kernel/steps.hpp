#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/arch/architecture.hpp"
#include "mercer/base/matrix.hpp"
#include "tile_loops.hpp"

namespace mercer::kernel {

/// The state after a layer of each row by itself: norm s = sqrt(q), mean of the units relative to
/// the norm, and tau = T/q of the row with itself.
struct RowState {
  std::vector<double> s, mean, tau;
};

/// Hermite features of rows for one activation, see hermite.hpp.
struct Features {
  RawVector<double> values;  ///< feature k of row i at values[(uniform ? 0 : i terms()) + k]
  bool uniform = false;      ///< all rows have one variance
  /// tails[k]: the part of c' or of the slope dc'/dc of a row with itself that lies beyond the
  /// first k features, the largest over the rows.
  std::vector<double> tails;
  /// The parts of c' and of the slope beyond the last feature where the series was cut off, else 0.
  double value_error = 0, slope_error = 0;

  Index terms() const { return tails.empty() ? 0 : static_cast<Index>(tails.size()) - 1; }
  const double* row(Index i) const { return values.data() + (uniform ? 0 : i * terms()); }
};

/// What the rows contribute to one step: arrays over the rows.
struct Factors {
  std::vector<std::vector<double>> of;
  Features features;
};

/// The factors of the rows from `first` on: those of a Segment's rows i, or of its row j.
struct RowView {
  const Factors* factors = nullptr;
  Index first = 0;
  /// For a series: `terms` features, feature k of the i-th row at packed[k stride + i], or, where
  /// `uniform`, of every row at packed[k stride].
  const double* packed = nullptr;
  Index terms = 0, stride = 0;
  bool uniform = true;
  bool each = false;      ///< as row j: a row of its own for each entry of the segment
  bool products = false;  ///< the packed features are multiplied with those of row j
  const double* of(std::size_t k) const { return factors->of[k].data() + first; }
};
inline Factor factor(const RowView& rows, const RowView& row_j, std::size_t k) {
  return {rows.of(k), *row_j.of(k), row_j.each ? row_j.of(k) : nullptr};
}

/// Buffers of one call of tile(): a stack of segments (a residual branch works on a copy of its
/// skip) and scratch.
struct Work {
  std::vector<Segment> stack;
  std::vector<RawVector<double>> buffers;  ///< three arrays per level
  RawVector<double> before, scratch;
  Segment& top() { return stack.back(); }
};

/// One layer of the recursion, on rows (prepare) and on pairs (apply).
class Step {
 public:
  virtual ~Step() = default;
  /// Advances the rows' states; the top of the stack is the current one.
  virtual Factors prepare(std::vector<RowState>& stack) const = 0;
  /// Called before apply(), for n rows i and all rows j of z: copies into `buffer` what apply()
  /// reads again for every row j. With rows.each z has a row for each of the n.
  virtual void pack(RowView&, Index /*n*/, const Factors& /*z*/,
                    RawVector<double>& /*buffer*/) const {}
  /// Advances the top segment of pairs (i, j).
  virtual void apply(Work& work, const RowView& rows, const RowView& row_j) const = 0;
  /// Doubles that prepare() keeps for each row, for the memory plan.
  virtual Index doubles_per_row() const = 0;
  /// Whether apply() needs sigma to full relative accuracy, as a rectifier does.
  virtual bool has_angle() const { return false; }
};
using Program = std::vector<std::unique_ptr<Step>>;

/// `weight_term`: in the standard parametrisation the factor of K in the tangent kernel, see
/// standard_weight_terms(); nullopt: the NTK parametrisation.
std::unique_ptr<Step> dense_step(double weight_std, double bias_std,
                                 std::optional<double> weight_term);
std::unique_ptr<Step> branch_step();
/// `means`: skip and branch may both have a mean that is not zero.
std::unique_ptr<Step> join_step(bool means);
/// `accurate`: a rectifier follows further on, which needs sigma of near-parallel pairs to full
/// relative accuracy.
std::unique_ptr<Step> activation_step(const arch::Activation& rho, bool accurate);
std::unique_ptr<Step> smooth_step(const arch::Activation& rho, bool accurate);

/// Whether the units have a mean after the activation.
bool has_mean(const arch::Activation& rho);

/// fan_in/(m sigma_w^2) of every layer of weights, in the order of the text, m the fan-in of the
/// readout, the width of the last hidden layer; 0 for the input layer. Throws InputError where
/// there is no hidden layer, where only some hidden widths are given, or where all layers but the
/// first are fixed.
std::vector<double> standard_weight_terms(const arch::Architecture& architecture);
/// Takes the first of the terms away; nullopt where there are none: the NTK parametrisation.
std::optional<double> next_term(std::span<const double>& terms);

/// Names of the steps of compile() for error messages: "dense layer 3 of 5", "the relu after dense
/// layer 3 of 5", ..., counted in the order of the text, convolutions too.
std::vector<std::string> step_names(std::span<const arch::Layer> rows,
                                    const arch::Architecture& architecture);

/// Layers on rows as a list of steps: all layers of the architecture, or of one of images those
/// after flatten or gap, where the units may have a `mean`. `weight_terms`: of these layers, from
/// standard_weight_terms(), for the standard parametrisation; else empty.
Program compile(std::span<const arch::Layer> rows, const arch::Architecture& architecture,
                bool mean, std::span<const double> weight_terms);

}  // namespace mercer::kernel
