#include "pixel_steps.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace mercer::kernel {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

Index modulo(Index a, Index n) {
  return (a % n + n) % n;
}

/// The values of an image's field, rows of `pitch`, at the pixels p (of_i) or p' of a strip.
template <class From, class To>
void gather(const From* field, Index pitch, const Strip& strip, bool of_i, To* out) {
  for (std::size_t k = 0; k < strip.planes.size(); ++k) {
    const Plane& plane = strip.planes[k];
    const Index y0 = of_i ? plane.yi : plane.yj, x0 = of_i ? plane.xi : plane.xj;
    const Index first = std::min(plane.w, plane.image.w - x0);
    for (Index y = 0; y < plane.h; ++y) {
      const From* row = field + (y + y0) % plane.image.h * pitch;
      To* to = std::copy_n(row + x0, first, out + y * strip.w + strip.first[k]);
      std::copy_n(row, plane.w - first, to);
    }
  }
}
void gather(const std::vector<double>& field, const Strip& strip, bool of_i,
            RawVector<double>& out) {
  out.resize(at(strip.size() + kOverrun));
  gather(field.data(), strip.planes[0].image.w, strip, of_i, out.data());
}

/// Numbers over an image's pixels with `outside` zeros around it.
std::shared_ptr<const Field> padded(const std::vector<double>& values, Extent image, Extent outside,
                                    bool single) {
  const Index pitch = image.w + 2 * outside.w;
  std::vector<double> all(at((image.h + 2 * outside.h) * pitch), 0.0);
  for (Index y = 0; y < image.h; ++y)
    std::copy_n(values.data() + y * image.w, image.w,
                all.data() + (y + outside.h) * pitch + outside.w);
  return std::make_shared<const Field>(std::move(all), single);
}
Index bytes_of_field(Extent image, bool single, Extent outside) {
  return (single ? 4 : 8) * (image.h + 2 * outside.h) * (image.w + 2 * outside.w);
}
/// A field of padded(): a value of pixel (0, 0), and the pitch of its rows.
template <class Real>
struct FieldView {
  const Real* first;
  Index pitch;
  FieldView(const Field& field, Extent image, Extent outside)
      : first(field.data<Real>() + outside.h * (image.w + 2 * outside.w) + outside.w),
        pitch(image.w + 2 * outside.w) {}
  const Real* at(Index y, Index x) const { return first + y * pitch + x; }
};

/// A step whose apply() is written once, as Derived::on(work, i, j).
template <class Derived>
class StepOf : public PixelStep {
 public:
  void apply(PlaneWork<double>& work, const PixelFactors& i, const PixelFactors& j) const final {
    static_cast<const Derived&>(*this).on(work, i, j);
  }
  void apply(PlaneWork<float>& work, const PixelFactors& i, const PixelFactors& j) const final {
    static_cast<const Derived&>(*this).on(work, i, j);
  }
};

class ConvStep : public StepOf<ConvStep> {
 public:
  ConvStep(const arch::Conv& conv, arch::Window filter, double weight_std, double bias_std,
           TangentTerms terms, TangentBefore tangent_before)
      : f1_(filter.f1),
        f2_(filter.f2),
        stride_(conv.stride),
        padding_(conv.padding),
        weight_(weight_std * weight_std / static_cast<double>(f1_ * f2_)),
        bias_(bias_std * bias_std),
        terms_(terms),
        tangent_before_(tangent_before) {
    std::get<0>(zeros_).resize(at(f2_));
    std::get<1>(zeros_).resize(at(f2_));
    if (padding_ == arch::Padding::valid) return;
    before1_ = (f1_ - 1) / 2;
    before2_ = (f2_ - 1) / 2;
  }

  Extent after(Extent image) const override {
    const auto size = [&](Index all, Index f) {
      return ceil_div(padding_ == arch::Padding::valid ? all - f + 1 : all, stride_);
    };
    return {size(image.h, f1_), size(image.w, f2_)};
  }
  arch::Window filter() const override { return {f1_, f2_}; }
  Index bytes(Extent image, bool single, Extent outside) const override {
    return needs_squares() && tangent_before_ != TangentBefore::added
               ? bytes_of_field(image, single, outside)
               : 0;
  }
  Extent outside() const override {
    if (!sees_outside()) return {};
    return {f1_ / 2, f2_ / 2};
  }

  /// q' = weight sum q + sigma_b^2.
  PixelFactors prepare(std::vector<PixelState>& stack, bool single, Extent outside) const override {
    PixelState& state = stack.back();
    const Extent before = state.extent, now = after(before);
    PixelState next{now, {}, std::vector<double>(at(now.pixels()), 0.0)};
    for (Index y = 0; y < now.h; ++y)
      for (Index x = 0; x < now.w; ++x)
        next.s.push_back(std::sqrt(weight_ * square_sum(state.s.data(), before, y, x) + bias_));
    PixelFactors f;
    if (needs_squares()) {
      f.norms = state.norms ? state.norms : padded(state.s, before, outside, single);
      f.square = state.norms ? state.square : 1;
    }
    state = std::move(next);
    return f;
  }

  template <class Real>
  void on(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    const PlaneState<Real> state = work.top();
    const bool first = tangent_before_ == TangentBefore::zero;
    if (state.T && tangent_before_ == TangentBefore::plain) add_kernel(work, i, j);
    Strip now = work.strip;
    for (Plane& plane : now.planes) {
      const Extent size = after({plane.h, plane.w});
      plane.h = size.h;
      plane.w = size.w;
      plane.image = after(plane.image);
      for (Index* origin : {&plane.yi, &plane.xi, &plane.yj, &plane.xj}) *origin /= stride_;
    }
    now.lay_out();
    sum(work, now, state.E, 0, &i, &j);
    if (state.G) sum(work, now, state.G, 4 * bias_, &i, &j);
    if (state.T && !first) sum(work, now, state.T, terms_.bias * bias_, nullptr, nullptr);
    work.strip = std::move(now);
    if (state.T && first) first_tangent(state, work.strip.size());
  }

 private:
  /// Whether there are pairs with one pixel outside its image: with same padding.
  bool sees_outside() const { return padding_ == arch::Padding::same && f1_ * f2_ > 1; }
  bool needs_squares() const { return sees_outside() || tangent_before_ == TangentBefore::plain; }
  template <class Real>
  static FieldView<Real> norms(const PlaneWork<Real>& work, const PixelFactors& f) {
    return {*f.norms, work.strip.planes[0].image, work.outside()};
  }

  /// T += term K.
  template <class Real>
  void add_kernel(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    const PlaneState<Real> s = work.top();
    const Strip& strip = work.strip;
    const Index n = strip.size();
    const auto quarter = static_cast<Real>(terms_.kernel / 4);
    if (s.G) {
      plane_loops<Real>().add_kernel(n, s, 1, quarter, 0);
      return;
    }
    const auto of_i = norms(work, i), of_j = norms(work, j);
    for (auto* of : {&work.apart, &work.four}) of->resize(at(n + kOverrun));
    gather(of_i.first, of_i.pitch, strip, true, work.apart.data());
    gather(of_j.first, of_j.pitch, strip, false, work.four.data());
    const auto square = static_cast<Real>(i.square);
    for (Index k = 0; k < n; ++k) {
      const Real si = work.apart[at(k)], sj = work.four[at(k)];
      s.T[k] += 2 * quarter * (square * (si * si + sj * sj) - s.E[k]);
    }
  }
  /// T' = term (K' - sigma_b^2) + bias_term sigma_b^2, from T = 0.
  template <class Real>
  void first_tangent(const PlaneState<Real>& s, Index n) const {
    const auto quarter = static_cast<Real>(terms_.kernel / 4);
    const auto constant = static_cast<Real>((terms_.bias - terms_.kernel) * bias_);
    plane_loops<Real>().add_kernel(n, s, 0, quarter, constant);
  }

  /// values <- weight (sums over the filter) + constant. i, j: what outside pixels take their
  /// values from; else those are 0.
  template <class Real>
  void sum(PlaneWork<Real>& work, const Strip& now, Real* values, double constant,
           const PixelFactors* i, const PixelFactors* j) const {
    const Strip& old = work.strip;
    Real* const sums = work.row_sums();
    const bool margins = padding_ != arch::Padding::valid;
    const Index top = margins ? before1_ : 0, bottom = margins ? f1_ - 1 - before1_ : 0;
    for (std::size_t k = 0; k < old.planes.size(); ++k) {
      const Plane& plane = old.planes[k];
      RowSums<Real> f{plane.h, plane.w,  old.w,   now.planes[k].w, now.w,
                      f2_,     before2_, stride_, zeros<Real>(),   zeros<Real>(),
                      0,       0,        0};
      const Real* from = values + old.first[k];
      Real* to = sums + top * now.w + now.first[k];
      if (padding_ == arch::Padding::circular) {
        f.left = from + plane.w - before2_;
        f.right = from;
        f.left_pitch = f.right_pitch = old.w;
      } else if (sees_outside() && i != nullptr) {
        outside_columns(work, plane, *i, *j, f);
      }
      plane_loops<Real>().sum_rows(from, f, to);
      if (sees_outside()) outside_rows(work, plane, i, j, f, to, now.w);
    }
    if (padding_ == arch::Padding::circular) {
      Real* const rows = sums + top * now.w;
      for (Index y = 1; y <= top; ++y)
        std::copy_n(rows + modulo(-y, old.h) * now.w, now.w, rows - y * now.w);
      for (Index y = 0; y < bottom; ++y)
        std::copy_n(rows + y % old.h * now.w, now.w, rows + (old.h + y) * now.w);
    }
    plane_loops<Real>().sum_columns(
        sums, {now.h, now.w, f1_, stride_, static_cast<Real>(weight_), static_cast<Real>(constant)},
        values);
  }

  /// What is beside the rows of a plane: pairs with one pixel outside its image have E and G = q of
  /// the other, those with both outside have 0. No pair beyond a plane has both inside.
  template <class Real>
  void outside_columns(const PlaneWork<Real>& work, const Plane& plane, const PixelFactors& i,
                       const PixelFactors& j, RowSums<Real>& f) const {
    if (plane.xi == plane.xj) return;
    const auto of_i = norms(work, i), of_j = norms(work, j);
    const Real* const pi = of_i.at(plane.yi, plane.xi);
    const Real* const pj = of_j.at(plane.yj, plane.xj);
    // To the left of a plane with p right of p' it is p' that is outside, to its right p.
    const bool p_inside = plane.xi > plane.xj;
    f.left = (p_inside ? pi : pj) - before2_;
    f.right = (p_inside ? pj : pi) + plane.w;
    f.left_pitch = f.right_pitch = of_i.pitch;
    f.square = static_cast<Real>(i.square);
  }
  /// The row sums above and below a plane.
  template <class Real>
  void outside_rows(PlaneWork<Real>& work, const Plane& plane, const PixelFactors* i,
                    const PixelFactors* j, const RowSums<Real>& f, Real* to,
                    Index out_pitch) const {
    const Index below = f1_ - 1 - before1_, reach = f2_ - 1 - before2_;
    work.outside_row.resize(at(plane.w + f2_ + 2 * kOverrun));
    const auto fill = [&](Index y, const PixelFactors* of, Index y0, Index x0) {
      Real* out = to + y * out_pitch;
      if (of == nullptr) {
        std::fill_n(out, f.out_w, Real{0});
        return;
      }
      const Real* v = norms(work, *of).at(y + y0, x0);
      const auto square = static_cast<Real>(of->square);
      Real* row = work.outside_row.data() + kOverrun + before2_;
      for (Index x = -before2_; x < plane.w + reach; ++x) row[x] = square * v[x] * v[x];
      RowSums<Real> one = f;
      one.h = 1;
      one.left = row - before2_;
      one.right = row + plane.w;
      one.square = 0;
      plane_loops<Real>().sum_rows(row, one, out);
    };
    if (plane.yi == plane.yj) i = j = nullptr;
    const bool p_inside = plane.yi > plane.yj;  // above the plane, and p' below it
    const auto fill_i = [&](Index y) { fill(y, i, plane.yi, plane.xi); };
    const auto fill_j = [&](Index y) { fill(y, j, plane.yj, plane.xj); };
    for (Index y = 1; y <= before1_; ++y) p_inside ? fill_i(-y) : fill_j(-y);
    for (Index y = plane.h; y < plane.h + below; ++y) p_inside ? fill_j(y) : fill_i(y);
  }

  double square_sum(const double* s, Extent image, Index y, Index x) const {
    double sum = 0;
    for (Index o = 0; o < f1_; ++o)
      for (Index p = 0; p < f2_; ++p) {
        Index row = y * stride_ + o - before1_, column = x * stride_ + p - before2_;
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

  template <class Real>
  const Real* zeros() const {
    return std::get<std::vector<Real>>(zeros_).data();
  }

  Index f1_, f2_, stride_, before1_ = 0, before2_ = 0;
  arch::Padding padding_;
  double weight_, bias_;
  TangentTerms terms_;
  TangentBefore tangent_before_;
  std::tuple<std::vector<double>, std::vector<float>> zeros_;
};

class PixelRectifier : public StepOf<PixelRectifier> {
 public:
  PixelRectifier(double a, double b, bool sums, double kernel_term)
      : terms_{(a - b) * (a - b) / (a * a + b * b), (a * a + b * b) / 2, kernel_term},
        sums_(sums),
        step_(activation_step({arch::Function::rectifier, a, b, 0, ""}, false)) {}

  Index bytes(Extent image, bool single, Extent outside) const override {
    return bytes_of_field(image, single, outside);
  }
  PixelFactors prepare(std::vector<PixelState>& stack, bool single, Extent outside) const override {
    PixelState& state = stack.back();
    PixelFactors f;
    f.norms = padded(state.s, state.extent, outside, single);
    std::vector<RowState> rows{{std::move(state.s), std::move(state.mean), {}}};
    rows[0].tau.assign(rows[0].s.size(), 0.0);
    static_cast<void>(step_->prepare(rows));
    state.s = std::move(rows[0].s);
    state.mean = std::move(rows[0].mean);
    state.norms = f.norms;
    state.square = terms_.gain;
    return f;
  }

  template <class Real>
  void on(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    const Strip& strip = work.strip;
    for (auto* of : {&work.apart, &work.four}) of->resize(at(strip.size() + kOverrun));
    for (std::size_t k = 0; k < strip.planes.size(); ++k) products(work, k, i, j);
    const PlaneState<Real> state = work.top();
    plane_loops<Real>().rectifier(strip.size(), state, sums_ ? state.G : nullptr, work.apart.data(),
                                  work.four.data(), terms_);
    work.sums = work.sums && sums_;
  }

 private:
  template <class Real>
  void products(PlaneWork<Real>& work, std::size_t k, const PixelFactors& i,
                const PixelFactors& j) const {
    const Plane& plane = work.strip.planes[k];
    const Index first = work.strip.first[k], pitch = work.strip.w;
    const FieldView<Real> of_i(*i.norms, plane.image, work.outside());
    const FieldView<Real> of_j(*j.norms, plane.image, work.outside());
    const auto rows = [&](Index y, Index h, Index yj, Index x, Index w, Index xj) {
      const Index to = first + y * pitch + x;
      plane_loops<Real>().products(h, w, pitch, {of_i.at(y + plane.yi, x + plane.xi), of_i.pitch},
                                   {of_j.at(yj, xj), of_j.pitch}, work.apart.data() + to,
                                   work.four.data() + to);
    };
    if (!plane.wrapped) {
      rows(0, plane.h, plane.yj, 0, plane.w, plane.xj);
      return;
    }
    const Index end =
        plane.image.w - plane.xj;  // where a row of p' goes on at the image's other side
    for (Index y = 0; y < plane.h; ++y) {
      const Index yj = (y + plane.yj) % plane.image.h;
      rows(y, 1, yj, 0, end, plane.xj);
      rows(y, 1, yj, end, plane.w - end, 0);
    }
  }
  RectifierTerms terms_;
  bool sums_;
  std::unique_ptr<Step> step_;
};

/// Every other activation: the step of rows, with a factor of each pair's p and of its p'.
class PixelDual : public StepOf<PixelDual> {
 public:
  PixelDual(const arch::Activation& rho, bool accurate) : step_(activation_step(rho, accurate)) {}

  Index bytes(Extent image, bool, Extent) const override {
    return 8 * image.pixels() * (2 + step_->doubles_per_row());
  }
  PixelFactors prepare(std::vector<PixelState>& stack, bool, Extent) const override {
    PixelState& state = stack.back();
    PixelFactors f;
    f.before = state.s;
    std::vector<RowState> rows{{std::move(state.s), std::move(state.mean), {}}};
    rows[0].tau.assign(f.before.size(), 0.0);
    f.dual = step_->prepare(rows);
    f.after = rows[0].s;
    state.s = std::move(rows[0].s);
    state.mean = std::move(rows[0].mean);
    state.norms = nullptr;
    return f;
  }

  void on(PlaneWork<double>& work, const PixelFactors& i, const PixelFactors& j) const {
    const PlaneState<double> in = work.top();
    work.sums = true;
    advance(work, i, j, in, work.top());
  }
  /// In double precision, on a copy.
  void on(PlaneWork<float>& work, const PixelFactors& i, const PixelFactors& j) const {
    const PlaneState<float> in = work.top();
    const Index n = work.strip.size();
    work.in_double.resize(3);
    for (auto& buffer : work.in_double) buffer.resize(at(n + kOverrun));
    double *E = work.in_double[0].data(), *G = work.in_double[1].data();
    double* T = in.T ? work.in_double[2].data() : nullptr;
    std::copy_n(in.E, n, E);
    if (in.G) std::copy_n(in.G, n, G);
    if (T) std::copy_n(in.T, n, T);
    advance(work, i, j, {E, in.G ? G : nullptr, T}, {E, G, T});
    work.sums = true;
    const PlaneState<float> out = work.top();
    const auto to_single = [](double x) { return static_cast<float>(x); };
    std::transform(E, E + n, out.E, to_single);
    std::transform(G, G + n, out.G, to_single);
    if (T) std::transform(T, T + n, out.T, to_single);
  }

 private:
  template <class Real>
  void advance(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j,
               const PlaneState<double>& in, const PlaneState<double>& out) const {
    const Strip& strip = work.strip;
    const Index n = strip.size();
    const auto pairs_of = [&](const PixelFactors& f, bool of_i) {
      Factors pairs;
      for (const auto& field : f.dual.of) {
        gather(field, strip, of_i, work.of_i);
        pairs.of.emplace_back(work.of_i.begin(), work.of_i.begin() + n);
      }
      gather_features(f.dual.features, strip, of_i, pairs.features);
      return pairs;
    };
    const Factors of_i = pairs_of(i, true), of_j = pairs_of(j, false);
    for (auto* buffer : {&work.c, &work.sigma, &work.tau}) buffer->resize(at(n));
    gather(i.before, strip, true, work.of_i);
    gather(j.before, strip, false, work.of_j);
    pair_loops().normalise(n, in, work.of_i.data(), work.of_j.data(), work.c.data(),
                           work.sigma.data(), work.tau.data());
    RowView rows{.factors = &of_i, .each = true}, row_j{.factors = &of_j, .each = true};
    RawVector<double> packed;
    step_->pack(rows, n, of_j, packed);
    work.dual.stack.assign(1,
                           {n, work.c.data(), work.sigma.data(), in.T ? work.tau.data() : nullptr});
    step_->apply(work.dual, rows, row_j);
    gather(i.after, strip, true, work.of_i);
    gather(j.after, strip, false, work.of_j);
    pair_loops().restore(n, work.c.data(), work.sigma.data(), work.tau.data(), work.of_i.data(),
                         work.of_j.data(), out);
  }
  static void gather_features(const Features& from, const Strip& strip, bool of_i, Features& to) {
    to.uniform = from.uniform;
    to.tails = from.tails;
    if (from.uniform) {
      to.values = from.values;
      return;
    }
    const Index terms = from.terms();
    to.values.resize(at(strip.size() * terms));
    for (std::size_t k = 0; k < strip.planes.size(); ++k) {
      const Plane& plane = strip.planes[k];
      for (Index y = 0; y < plane.h; ++y) {
        const Index py = (y + (of_i ? plane.yi : plane.yj)) % plane.image.h;
        double* out = to.values.data() + (y * strip.w + strip.first[k]) * terms;
        for (Index x = 0; x < plane.w; ++x) {
          const Index px = (x + (of_i ? plane.xi : plane.xj)) % plane.image.w;
          out = std::copy_n(from.row(py * plane.image.w + px), terms, out);
        }
      }
    }
  }
  std::unique_ptr<Step> step_;
};

class PixelBranch : public StepOf<PixelBranch> {
 public:
  explicit PixelBranch(bool restores) : restores_(restores) {}

  Index bytes(Extent image, bool, Extent) const override {
    return restores_ ? 8 * image.pixels() : 0;
  }
  PixelFactors prepare(std::vector<PixelState>& stack, bool, Extent) const override {
    stack.push_back(PixelState(stack.back()));
    PixelFactors f;
    if (restores_) f.before = stack.back().s;
    return f;
  }
  template <class Real>
  void on(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    if (restores_) {
      work.sums = true;
      const PlaneState<Real> state = work.top();
      gather(i.before, work.strip, true, work.of_i);
      gather(j.before, work.strip, false, work.of_j);
      for (Index k = 0; k < work.strip.size(); ++k) {
        const double si = work.of_i[at(k)], sj = work.of_j[at(k)];
        state.G[k] = static_cast<Real>(2 * (si * si + sj * sj)) - state.E[k];
      }
    }
    work.push();
  }

 private:
  bool restores_;
};

/// E += E_b + 2 (mu - mu')(mu_b - mu_b'), G += G_b + 2 (mu + mu')(mu_b + mu_b'), T += T_b, mu the
/// means of skip and branch, which are independent.
class PixelJoin : public StepOf<PixelJoin> {
 public:
  explicit PixelJoin(bool means) : means_(means) {}

  Index bytes(Extent image, bool, Extent) const override {
    return means_ ? 16 * image.pixels() : 0;
  }
  PixelFactors prepare(std::vector<PixelState>& stack, bool, Extent) const override {
    const PixelState branch = std::move(stack.back());
    stack.pop_back();
    PixelState& skip = stack.back();
    skip.norms = nullptr;
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
  template <class Real>
  void on(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    const PlaneState<Real> branch = work.top(), skip = work.below();
    const Index n = work.strip.size();
    const auto& loops = plane_loops<Real>();
    loops.add(n, branch.E, skip.E);
    if (skip.G) loops.add(n, branch.G, skip.G);
    if (skip.T) loops.add(n, branch.T, skip.T);
    work.pop();
    if (!means_) return;
    gather(i.skip_mean, work.strip, true, work.of_i);
    gather(j.skip_mean, work.strip, false, work.of_j);
    gather(i.branch_mean, work.strip, true, work.c);
    gather(j.branch_mean, work.strip, false, work.sigma);
    for (Index k = 0; k < n; ++k) {
      const double of_i = work.of_i[at(k)], of_j = work.of_j[at(k)];
      const double b_i = work.c[at(k)], b_j = work.sigma[at(k)];
      skip.E[k] += static_cast<Real>(2 * (of_i - of_j) * (b_i - b_j));
      if (skip.G) skip.G[k] += static_cast<Real>(2 * (of_i + of_j) * (b_i + b_j));
    }
  }

 private:
  bool means_;
};

}  // namespace

Field::Field(std::vector<double> values, bool single) {
  if (single)
    float_.assign(values.begin(), values.end());
  else
    double_ = std::move(values);
}
template <>
const double* Field::data<double>() const {
  return double_.data();
}
template <>
const float* Field::data<float>() const {
  return float_.data();
}

Index PixelFactors::bytes() const {
  std::size_t doubles = before.size() + after.size() + dual.features.values.size() +
                        skip_mean.size() + branch_mean.size();
  for (const auto& field : dual.of) doubles += field.size();
  return static_cast<Index>(doubles * sizeof(double)) +
         (norms ? norms->bytes() / norms.use_count() : 0);
}

void StripSizes::include(const Strip& strip) {
  pairs = std::max(pairs, strip.size());
  row_sums = std::max(row_sums, (strip.h + f1 - 1) * strip.w);
}

Index StripSizes::bytes() const {
  return 8 * (3 * levels * (pairs + 2 * margin()) + row_sums + 2 * margin() + 7 * pairs);
}

template <class Real>
PlaneWork<Real>::PlaneWork(const StripSizes& sizes, bool tangent)
    : outside_(sizes.outside),
      margin_(sizes.margin()),
      length_(sizes.pairs + 2 * margin_),
      tangent_(tangent) {
  for (Index level = 0; level < sizes.levels; ++level)
    buffers_.emplace_back(at(3 * length_), Real{0});
  row_sums_.assign(at(sizes.row_sums + 2 * margin_), Real{0});
}

template <class Real>
PlaneState<Real> PlaneWork<Real>::state(std::size_t depth) {
  Real* first = buffers_[depth].data() + margin_;
  return {first, sums ? first + length_ : nullptr, tangent_ ? first + 2 * length_ : nullptr};
}

template <class Real>
void PlaneWork<Real>::push() {
  const PlaneState<Real> from = state(depth_), to = state(++depth_);
  const Index n = strip.size();
  std::copy_n(from.E, n, to.E);
  if (from.G) std::copy_n(from.G, n, to.G);
  if (from.T) std::copy_n(from.T, n, to.T);
}

template class PlaneWork<double>;
template class PlaneWork<float>;

std::unique_ptr<PixelStep> conv_step(const arch::Conv& conv, arch::Window filter, double weight_std,
                                     double bias_std, TangentTerms terms, TangentBefore before) {
  return std::make_unique<ConvStep>(conv, filter, weight_std, bias_std, terms, before);
}
std::unique_ptr<PixelStep> pixel_rectifier(double a, double b, bool sums, double kernel_term) {
  return std::make_unique<PixelRectifier>(a, b, sums, kernel_term);
}
std::unique_ptr<PixelStep> pixel_dual(const arch::Activation& rho, bool accurate) {
  return std::make_unique<PixelDual>(rho, accurate);
}
std::unique_ptr<PixelStep> pixel_branch(bool restores) {
  return std::make_unique<PixelBranch>(restores);
}
std::unique_ptr<PixelStep> pixel_join(bool means) {
  return std::make_unique<PixelJoin>(means);
}

}  // namespace mercer::kernel
