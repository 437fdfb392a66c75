#include "pixel_steps.hpp"

#include <algorithm>
#include <cmath>

namespace mercer::kernel {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

Index modulo(Index a, Index n) {
  return (a % n + n) % n;
}

/// The values of an image's field at the pixels p (of_i) or p' of a plane's pairs.
void gather(const std::vector<double>& field, const Plane& plane, bool of_i,
            RawVector<double>& out) {
  out.resize(at(plane.size() + kOverrun));
  const Index y0 = of_i ? plane.yi : plane.yj, x0 = of_i ? plane.xi : plane.xj;
  double* to = out.data();
  for (Index y = 0; y < plane.h; ++y) {
    const double* row = field.data() + (y + y0) % plane.image.h * plane.image.w;
    const Index first = std::min(plane.w, plane.image.w - x0);
    to = std::copy_n(row + x0, first, to);
    to = std::copy_n(row, plane.w - first, to);
  }
}

/// Calls f(k, row) for each row of the top plane, k its first pair in the arrays of gather().
template <class F>
void each_row(const PlaneWork& work, F&& f) {
  const PlaneState state = work.top();
  for (Index y = 0; y < work.plane.h; ++y) {
    const Index first = y * work.pitch();
    f(y * work.plane.w,
      PlaneState{state.E + first, state.G + first, state.T ? state.T + first : nullptr});
  }
}

class ConvStep : public PixelStep {
 public:
  ConvStep(const arch::Conv& conv, arch::Window filter, double weight_std, double bias_std,
           TangentTerms terms)
      : f1_(filter.f1), f2_(filter.f2), stride_(conv.stride), padding_(conv.padding) {
    filter_.f1 = f1_;
    filter_.f2 = f2_;
    filter_.stride = stride_;
    if (padding_ != arch::Padding::valid) {
      filter_.before1 = (f1_ - 1) / 2;
      filter_.before2 = (f2_ - 1) / 2;
    }
    filter_.weight = weight_std * weight_std / static_cast<double>(f1_ * f2_);
    filter_.bias = bias_std * bias_std;
    filter_.kernel_term = terms.kernel;
    filter_.bias_term = terms.bias;
  }

  Extent after(Extent image) const override {
    const auto size = [&](Index all, Index f) {
      return ceil_div(padding_ == arch::Padding::valid ? all - f + 1 : all, stride_);
    };
    return {size(image.h, f1_), size(image.w, f2_)};
  }
  Extent margin() const override {
    if (padding_ == arch::Padding::valid) return {};
    return {f1_ / 2, f2_ / 2};
  }
  Index doubles_per_pixel() const override { return sees_outside() ? 1 : 0; }

  /// q' = weight sum q + sigma_b^2.
  PixelFactors prepare(std::vector<PixelState>& stack) const override {
    PixelState& state = stack.back();
    const Extent before = state.extent, now = after(before);
    PixelState next{now, {}, std::vector<double>(at(now.pixels()), 0.0)};
    for (Index y = 0; y < now.h; ++y)
      for (Index x = 0; x < now.w; ++x)
        next.s.push_back(
            std::sqrt(filter_.weight * square_sum(state.s.data(), before, y, x) + filter_.bias));
    PixelFactors f;
    if (sees_outside())
      for (const double s : state.s) f.before.push_back(s * s);
    state = std::move(next);
    return f;
  }

  void apply(PlaneWork& work, const PixelFactors& i, const PixelFactors& j) const override {
    Plane& plane = work.plane;
    PlaneFilter f = filter_;
    const Extent now = after({plane.h, plane.w});
    f.out_h = now.h;
    f.out_w = now.w;
    f.pitch = work.pitch();
    if (padding_ == arch::Padding::circular)
      fill_other_side(work);
    else if (sees_outside())
      fill_margins(work, i.before, j.before);
    const PlaneState in = work.top(), out = work.spare(f.out_w);
    plane.w = f.out_w;
    f.out_pitch = work.pitch();
    plane_loops().filter(in, f, work.filter_scratch(), out);
    work.take_spare();
    plane.image = after(plane.image);
    plane.h = now.h;
    for (Index* origin : {&plane.yi, &plane.xi, &plane.yj, &plane.xj}) *origin /= stride_;
  }

 private:
  /// Whether there are pairs with one pixel outside its image: with same padding.
  bool sees_outside() const { return padding_ == arch::Padding::same && f1_ * f2_ > 1; }
  /// The margins are the other side of the plane.
  void fill_other_side(const PlaneWork& work) const {
    const Plane& plane = work.plane;
    const PlaneState state = work.top();
    const Index high = margin().h, wide = margin().w;
    for (double* of : {state.E, state.G, state.T}) {
      if (of == nullptr) continue;
      for (Index y = 0; y < plane.h; ++y) {
        double* row = of + y * work.pitch();
        std::copy_n(row + plane.w - wide, wide, row - wide);
        std::copy_n(row, wide, row + plane.w);
      }
      const auto row = [&](Index y) { return of + y * work.pitch() - wide; };
      for (Index y = 0; y < high; ++y) {
        std::copy_n(row(plane.h - high + y), plane.w + 2 * wide, row(y - high));
        std::copy_n(row(y), plane.w + 2 * wide, row(plane.h + y));
      }
    }
  }
  /// Of pairs with one pixel outside its image E and G are q of the other; with both outside 0, as
  /// T always is. No pair beyond the plane has both of them inside. qi, qj: of the images' pixels.
  void fill_margins(const PlaneWork& work, const std::vector<double>& qi,
                    const std::vector<double>& qj) const {
    const Plane& plane = work.plane;
    const PlaneState state = work.top();
    const Index high = margin().h, wide = margin().w;
    const auto fill = [&](Index y, Index first, Index count) {
      const Index to = y * work.pitch() + first;
      std::fill_n(state.E + to, count, 0.0);
      if (plane.yi != plane.yj || plane.xi != plane.xj) {
        copy_inside(qi, plane.image, y + plane.yi, first + plane.xi, count, state.E + to);
        copy_inside(qj, plane.image, y + plane.yj, first + plane.xj, count, state.E + to);
      }
      std::copy_n(state.E + to, count, state.G + to);
      if (state.T) std::fill_n(state.T + to, count, 0.0);
    };
    for (Index y = 1; y <= high; ++y) {
      fill(-y, -wide, plane.w + 2 * wide);
      fill(plane.h + y - 1, -wide, plane.w + 2 * wide);
    }
    const auto fill_column = [&](Index x) {
      const double* from = inside(qi, plane.image, plane.yi, x + plane.xi);
      if (from == nullptr) from = inside(qj, plane.image, plane.yj, x + plane.xj);
      Index to = x;
      for (Index y = 0; y < plane.h; ++y, to += work.pitch()) {
        state.E[to] = state.G[to] = from == nullptr ? 0 : from[y * plane.image.w];
        if (state.T) state.T[to] = 0;
      }
    };
    for (Index x = 1; x <= wide; ++x) {
      fill_column(-x);
      fill_column(plane.w + x - 1);
    }
  }
  static const double* inside(const std::vector<double>& q, Extent image, Index y, Index x) {
    return x >= 0 && x < image.w ? q.data() + y * image.w + x : nullptr;
  }
  /// Those of the `count` pixels from (y, x) on that are inside the image.
  static void copy_inside(const std::vector<double>& q, Extent image, Index y, Index x, Index count,
                          double* to) {
    if (y < 0 || y >= image.h) return;
    const Index first = std::max<Index>(0, -x), last = std::min(count, image.w - x);
    for (Index k = first; k < last; ++k) to[k] = q[at(y * image.w + x + k)];
  }
  double square_sum(const double* s, Extent image, Index y, Index x) const {
    double sum = 0;
    for (Index o = 0; o < f1_; ++o)
      for (Index p = 0; p < f2_; ++p) {
        Index row = y * stride_ + o - filter_.before1, column = x * stride_ + p - filter_.before2;
        if (padding_ == arch::Padding::circular) {
          row = modulo(row, image.h);
          column = modulo(column, image.w);
        }
        if (row < 0 || row >= image.h || column < 0 || column >= image.w) continue;
        const double value = s[row * image.w + column];
        sum += value * value;
      }
    return sum;
  }
  Index f1_, f2_, stride_;
  arch::Padding padding_;
  PlaneFilter filter_{};
};

/// a min(x, 0) + b max(x, 0).
class PixelRectifier : public PixelStep {
 public:
  PixelRectifier(double a, double b)
      : kappa_((a - b) * (a - b) / (a * a + b * b)), gain_((a * a + b * b) / 2), step_(row(a, b)) {}

  Index doubles_per_pixel() const override { return 2; }
  PixelFactors prepare(std::vector<PixelState>& stack) const override {
    PixelState& state = stack.back();
    PixelFactors f{.before = state.s};
    for (const double s : state.s) f.inverse.push_back(s > 0 ? 1 / s : 0);
    std::vector<RowState> rows{{std::move(state.s), std::move(state.mean), {}}};
    rows[0].tau.assign(f.before.size(), 0.0);
    static_cast<void>(step_->prepare(rows));
    state.s = std::move(rows[0].s);
    state.mean = std::move(rows[0].mean);
    // Loops read whole vectors.
    f.before.resize(f.before.size() + at(kOverrun), 1.0);
    f.inverse.resize(f.before.size(), 1.0);
    return f;
  }
  void apply(PlaneWork& work, const PixelFactors& i, const PixelFactors& j) const override {
    const Plane& plane = work.plane;
    const auto norms = [&](const PixelFactors& f, Index y, Index x) {
      const Index first = y * plane.image.w + x;
      return PixelNorms{f.before.data() + first, f.inverse.data() + first, plane.image.w};
    };
    PixelNorms of_j = norms(j, plane.yj, plane.xj);
    if (plane.wrapped) {
      gather(j.before, plane, false, work.of_i);
      gather(j.inverse, plane, false, work.of_j);
      of_j = {work.of_i.data(), work.of_j.data(), plane.w};
    }
    plane_loops().rectifier(plane.h, plane.w, work.pitch(), work.top(),
                            norms(i, plane.yi, plane.xi), of_j, kappa_, gain_, work.spare(plane.w));
    work.take_spare();
  }

 private:
  static std::unique_ptr<Step> row(double a, double b) {
    return activation_step({arch::Function::rectifier, a, b, 0, ""}, false);
  }
  double kappa_, gain_;
  std::unique_ptr<Step> step_;
};

/// Every other activation: the step of rows, with a factor of each pair's p and of its p'.
class PixelDual : public PixelStep {
 public:
  PixelDual(const arch::Activation& rho, bool accurate) : step_(activation_step(rho, accurate)) {}

  Index doubles_per_pixel() const override { return 2 + step_->doubles_per_row(); }
  PixelFactors prepare(std::vector<PixelState>& stack) const override {
    PixelState& state = stack.back();
    PixelFactors f{.before = state.s};
    std::vector<RowState> rows{{std::move(state.s), std::move(state.mean), {}}};
    rows[0].tau.assign(f.before.size(), 0.0);
    f.dual = step_->prepare(rows);
    f.after = rows[0].s;
    state.s = std::move(rows[0].s);
    state.mean = std::move(rows[0].mean);
    return f;
  }
  void apply(PlaneWork& work, const PixelFactors& i, const PixelFactors& j) const override {
    const Plane& plane = work.plane;
    const Index n = plane.size();
    const auto pairs_of = [&](const PixelFactors& f, bool of_i) {
      Factors pairs;
      for (const auto& field : f.dual.of) {
        gather(field, plane, of_i, work.of_i);
        pairs.of.emplace_back(work.of_i.begin(), work.of_i.begin() + n);
      }
      gather_features(f.dual.features, plane, of_i, pairs.features);
      return pairs;
    };
    const Factors of_i = pairs_of(i, true), of_j = pairs_of(j, false);
    const PlaneState state = work.top();
    for (auto* buffer : {&work.c, &work.sigma, &work.tau}) buffer->resize(at(n));
    gather(i.before, plane, true, work.of_i);
    gather(j.before, plane, false, work.of_j);
    each_row(work, [&](Index k, const PlaneState& row) {
      plane_loops().normalise(plane.w, row, work.of_i.data() + k, work.of_j.data() + k,
                              work.c.data() + k, work.sigma.data() + k, work.tau.data() + k);
    });
    RowView rows{.factors = &of_i, .each = true}, row_j{.factors = &of_j, .each = true};
    RawVector<double> packed;
    step_->pack(rows, n, of_j, packed);
    work.dual.stack.assign(
        1, {n, work.c.data(), work.sigma.data(), state.T ? work.tau.data() : nullptr});
    step_->apply(work.dual, rows, row_j);
    gather(i.after, plane, true, work.of_i);
    gather(j.after, plane, false, work.of_j);
    each_row(work, [&](Index k, const PlaneState& row) {
      plane_loops().restore(plane.w, work.c.data() + k, work.sigma.data() + k, work.tau.data() + k,
                            work.of_i.data() + k, work.of_j.data() + k, row);
    });
  }

 private:
  static void gather_features(const Features& from, const Plane& plane, bool of_i, Features& to) {
    to.uniform = from.uniform;
    to.tails = from.tails;
    if (from.uniform) {
      to.values = from.values;
      return;
    }
    const Index terms = from.terms();
    to.values.resize(at(plane.size() * terms));
    double* out = to.values.data();
    for (Index y = 0; y < plane.h; ++y)
      for (Index x = 0; x < plane.w; ++x) {
        const Index py = (y + (of_i ? plane.yi : plane.yj)) % plane.image.h;
        const Index px = (x + (of_i ? plane.xi : plane.xj)) % plane.image.w;
        out = std::copy_n(from.row(py * plane.image.w + px), terms, out);
      }
  }
  std::unique_ptr<Step> step_;
};

class PixelBranch : public PixelStep {
 public:
  PixelFactors prepare(std::vector<PixelState>& stack) const override {
    stack.push_back(PixelState(stack.back()));
    return {};
  }
  void apply(PlaneWork& work, const PixelFactors&, const PixelFactors&) const override {
    work.push();
  }
};

/// E += E_b + 2 (mu - mu')(mu_b - mu_b'), G += G_b + 2 (mu + mu')(mu_b + mu_b'), T += T_b, mu the
/// means of skip and branch, which are independent.
class PixelJoin : public PixelStep {
 public:
  explicit PixelJoin(bool means) : means_(means) {}

  Index doubles_per_pixel() const override { return means_ ? 2 : 0; }
  PixelFactors prepare(std::vector<PixelState>& stack) const override {
    const PixelState branch = std::move(stack.back());
    stack.pop_back();
    PixelState& skip = stack.back();
    PixelFactors f;
    for (std::size_t p = 0; p < skip.s.size(); ++p) {
      const double s = skip.s[p] * skip.mean[p], b = branch.s[p] * branch.mean[p];
      const double q = skip.s[p] * skip.s[p] + branch.s[p] * branch.s[p] + (means_ ? 2 * s * b : 0);
      skip.s[p] = std::sqrt(q);
      skip.mean[p] = q > 0 ? (s + b) / skip.s[p] : 0;
      if (!means_) continue;
      f.skip_mean.push_back(s);
      f.branch_mean.push_back(b);
    }
    return f;
  }
  void apply(PlaneWork& work, const PixelFactors& i, const PixelFactors& j) const override {
    const PlaneState branch = work.top(), skip = work.below();
    if (means_) {
      gather(i.skip_mean, work.plane, true, work.of_i);
      gather(j.skip_mean, work.plane, false, work.of_j);
      gather(i.branch_mean, work.plane, true, work.c);
      gather(j.branch_mean, work.plane, false, work.sigma);
    }
    Index n = 0;
    for (Index y = 0; y < work.plane.h; ++y)
      for (Index k = y * work.pitch(); k < y * work.pitch() + work.plane.w; ++k, ++n) {
        skip.E[k] += branch.E[k];
        skip.G[k] += branch.G[k];
        if (skip.T) skip.T[k] += branch.T[k];
        if (!means_) continue;
        skip.E[k] += 2 * (work.of_i[n] - work.of_j[n]) * (work.c[n] - work.sigma[n]);
        skip.G[k] += 2 * (work.of_i[n] + work.of_j[n]) * (work.c[n] + work.sigma[n]);
      }
    work.pop();
  }

 private:
  bool means_;
};

}  // namespace

Index PixelFactors::bytes() const {
  std::size_t doubles = before.size() + inverse.size() + after.size() +
                        dual.features.values.size() + skip_mean.size() + branch_mean.size();
  for (const auto& field : dual.of) doubles += field.size();
  return static_cast<Index>(doubles * sizeof(double));
}

void PlaneSizes::include(Index h, Index w) {
  length = std::max(length, (h + 2 * margin.h + 1) * pitch(w) + 2 * kOverrun);
  scratch = std::max(scratch, 3 * (h * pitch(w) + 2 * kOverrun));
}

Index PlaneSizes::bytes() const {
  return 8 * (3 * length * (levels + 1) + scratch);
}

PlaneWork::PlaneWork(const PlaneSizes& sizes, bool tangent)
    : sizes_(sizes), filter_(at(sizes.scratch), 0.0), tangent_(tangent) {
  for (Index level = 0; level <= sizes.levels; ++level) {
    order_.push_back(buffers_.size());
    buffers_.emplace_back(at(3 * sizes.length), 0.0);
  }
}

PlaneState PlaneWork::state(std::size_t buffer, Index w) const {
  double* first = buffers_[buffer].data() + sizes_.margin.h * sizes_.pitch(w) + sizes_.margin.w;
  return {first, first + sizes_.length, tangent_ ? first + 2 * sizes_.length : nullptr};
}

void PlaneWork::push() {
  ++depth_;
  std::ranges::copy(buffers_[order_[depth_ - 1]], buffers_[order_[depth_]].begin());
}

std::unique_ptr<PixelStep> conv_step(const arch::Conv& conv, arch::Window filter, double weight_std,
                                     double bias_std, TangentTerms terms) {
  return std::make_unique<ConvStep>(conv, filter, weight_std, bias_std, terms);
}
std::unique_ptr<PixelStep> pixel_activation(const arch::Activation& rho, bool accurate) {
  if (rho.function == arch::Function::rectifier)
    return std::make_unique<PixelRectifier>(rho.a, rho.b);
  return std::make_unique<PixelDual>(rho, accurate);
}
std::unique_ptr<PixelStep> pixel_branch() {
  return std::make_unique<PixelBranch>();
}
std::unique_ptr<PixelStep> pixel_join(bool means) {
  return std::make_unique<PixelJoin>(means);
}

}  // namespace mercer::kernel
