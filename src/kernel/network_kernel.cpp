#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "reference.hpp"
#include "steps.hpp"
#include "unit_rows.hpp"

namespace mercer::kernel {

namespace {

constexpr Index kCache = 1 << 16;  // doubles
constexpr Index kSegment = 512;    // three arrays of this length stay in the first-level cache

struct NetworkRows : Rows {
  UnitRows unit;
  std::vector<Factors> factors;  ///< one per step
  std::vector<double> norm;      ///< sqrt(K_ii) of the output
  std::vector<double> tau;       ///< T_ii/K_ii of the output
  double error = 0;

  Index size() const override { return unit.u.cols(); }
  Index bytes() const override {
    std::size_t doubles =
        static_cast<std::size_t>(unit.u.size()) + unit.norm.size() + 2 * norm.size();
    for (const Factors& f : factors) {
      doubles += f.features.values.size();
      for (const auto& array : f.of) doubles += array.size();
    }
    return static_cast<Index>(doubles * sizeof(double));
  }
  double error_estimate() const override { return error; }
};

/// Rows of a segment, such that its features stay in the second-level cache while all columns of a
/// tile pass.
Index segment_length(const NetworkRows& rows) {
  Index terms = 1;
  for (const Factors& f : rows.factors)
    if (!f.features.uniform) terms = std::max(terms, f.features.terms());
  return std::clamp<Index>(kCache / terms / 32 * 32, 32, kSegment);
}

/// The layer recursion ([I] Bowman, "A brief introduction to the neural tangent kernel", sec. 2;
/// Jacot, Gabriel and Hongler 2018) on normalised states, see Segment (tile_loops.hpp).
class NetworkKernel : public Kernel {
 public:
  NetworkKernel(const arch::Architecture& architecture, bool tangent,
                const std::vector<double>& weight_terms)
      : architecture_(architecture),
        program_(compile(architecture_.layers, architecture_, false, weight_terms)),
        names_(step_names(architecture_.layers, architecture_)),
        weight_terms_(weight_terms),
        tangent_(tangent),
        standard_(!weight_terms.empty()) {
    // The limit does not depend on the widths, unless the parametrisation is the standard one and
    // they are not all equal.
    const bool one_width =
        weight_terms.size() < 2 || std::all_of(weight_terms.begin() + 1, weight_terms.end(),
                                               [&](double f) { return f == weight_terms.back(); });
    if (one_width) architecture_ = architecture_.without_widths();
  }

  std::string text() const override {
    return fmt::format("{}({}; weight_std={}; bias_std={}{})", tangent_ ? "ntk" : "nngp",
                       architecture_.text(), architecture_.weight_std, architecture_.bias_std,
                       standard_ ? "; standard" : "");
  }

  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<NetworkRows>();
    rows->unit = unit_rows(std::move(X));
    std::vector<RowState> stack{input_state(rows->unit)};
    require_finite(stack[0], rows->unit);
    for (const auto& step : program_) {
      rows->factors.push_back(step->prepare(stack));
      require_finite(stack.back(), rows->unit);
      const Features& features = rows->factors.back().features;
      rows->error += features.value_error + (tangent_ ? features.slope_error : 0);
    }
    rows->norm = std::move(stack[0].s);
    rows->tau = std::move(stack[0].tau);
    return rows;
  }

  void tile(const Rows& x_rows, Index i0, const Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto& x = static_cast<const NetworkRows&>(x_rows);
    const auto& z = static_cast<const NetworkRows&>(z_rows);
    if (out.rows == 0 || out.cols == 0) return;
    cosines(x.unit, i0, z.unit, j0, out);
    Work work;
    RawVector<double> sigma(kSegment), tau(kSegment);
    std::vector<RawVector<double>> packed(program_.size());
    std::vector<RowView> views(program_.size());
    const Index length = segment_length(x);
    for (Index begin = 0; begin < out.rows; begin += length) {
      const Index n = std::min(length, out.rows - begin), i = i0 + begin;
      for (std::size_t k = 0; k < program_.size(); ++k) {
        views[k] = {.factors = &x.factors[k], .first = i};
        program_[k]->pack(views[k], n, z.factors[k], packed[k]);
      }
      for (Index j = 0; j < out.cols; ++j) {
        double* c = out.column(j) + begin;
        sines(x.unit, i, n, z.unit, j0 + j, c, sigma.data());
        if (tangent_) std::fill_n(tau.data(), n, 0.0);
        work.stack.assign(1, {n, c, sigma.data(), tangent_ ? tau.data() : nullptr});
        for (std::size_t k = 0; k < program_.size(); ++k)
          program_[k]->apply(work, views[k], {.factors = &z.factors[k], .first = j0 + j});
        tile_loops().scale(n, tangent_ ? tau.data() : c, {x.norm.data() + i, z.norm[j0 + j]}, c);
      }
    }
  }

  void diagonal(const Rows& x_rows, Index i0, Index count, double* out) const override {
    const auto& x = static_cast<const NetworkRows&>(x_rows);
    for (Index i = 0; i < count; ++i) {
      const double s = x.norm[i0 + i];
      out[i] = (tangent_ ? x.tau[i0 + i] * s : s) * s;
    }
  }

  std::string range_error(const Rows& x_rows, Index i) const override {
    return out_of_range(static_cast<const NetworkRows&>(x_rows).unit, i);
  }

  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    return reference_network(architecture_, tangent_, weight_terms_, x, z);
  }

  Index bytes_per_row(Index d) const override {
    Index doubles = d + 3;
    for (const auto& step : program_) doubles += step->doubles_per_row();
    return doubles * static_cast<Index>(sizeof(double));
  }

 private:
  static RowState input_state(const UnitRows& unit) {
    const double root_d = std::sqrt(static_cast<double>(unit.u.rows()));
    RowState state;
    for (const double norm : unit.norm) state.s.push_back(norm / root_d);
    state.mean.assign(state.s.size(), 0.0);
    state.tau.assign(state.s.size(), 0.0);
    return state;
  }
  bool in_range(const RowState& state, std::size_t i) const {
    return std::isfinite(state.s[i]) && std::isfinite(state.mean[i]) &&
           (!tangent_ || std::isfinite(state.tau[i]));
  }
  /// Throws RowError for the first row whose norm, mean or tau is not finite.
  void require_finite(const RowState& state, const UnitRows& unit) const {
    for (std::size_t i = 0; i < state.s.size(); ++i)
      if (!in_range(state, i))
        throw RowError(static_cast<Index>(i), out_of_range(unit, static_cast<Index>(i)));
  }
  /// Names the first layer from which on q = s^2 or T = tau s^2 of row i stays infinite up to the
  /// output; empty where the output is finite. Runs this one row through the layers again.
  std::string out_of_range(const UnitRows& unit, Index i) const {
    UnitRows row;
    row.u = Matrix<double>(unit.u.rows(), 1, 0.0);
    row.norm = {unit.norm[static_cast<std::size_t>(i)]};
    std::vector<RowState> stack{input_state(row)};
    if (!in_range(stack[0], 0)) return beyond("|x|", "the input");
    std::size_t from = 0;
    bool of_tangent = false;
    for (std::size_t k = 0; k < program_.size(); ++k) {
      (void)program_[k]->prepare(stack);
      const RowState& now = stack.back();
      const double q = now.s[0] * now.s[0], T = tangent_ ? now.tau[0] * q : 0;
      if (std::isfinite(q) && std::isfinite(T))
        from = k + 1;
      else if (from == k)
        of_tangent = std::isfinite(q);
      if (!in_range(now, 0)) break;
    }
    if (from == program_.size()) return {};
    return beyond(of_tangent ? "the tangent kernel k(x, x)" : "the variance of its units",
                  names_[from]);
  }
  static std::string beyond(const std::string& what, const std::string& layer) {
    return fmt::format(
        "{} exceeds the range of double precision (1.8e308) from {} on: give smaller inputs "
        "(`scale`) or weights (`weight_std`)",
        what, layer);
  }

  arch::Architecture architecture_;
  Program program_;
  std::vector<std::string> names_;  ///< of the steps
  std::vector<double> weight_terms_;
  bool tangent_, standard_;
};

}  // namespace

std::shared_ptr<const Kernel> network_kernel(const arch::Architecture& architecture, bool tangent,
                                             const std::vector<double>& weight_terms) {
  return std::make_shared<NetworkKernel>(architecture, tangent, weight_terms);
}

}  // namespace mercer::kernel
