// Convolutions of the kernels of images: sums over windows of the planes of pairs.

#include <algorithm>
#include <cmath>
#include <tuple>

#include "pixel_fields.hpp"

namespace mercer::kernel {
namespace {

Index modulo(Index a, Index n) {
  return (a % n + n) % n;
}

class ConvStep : public StepOf<ConvStep> {
 public:
  ConvStep(const arch::Conv& conv, arch::Window filter, double weight, double bias,
           TangentTerms terms, TangentBefore tangent_before)
      : f1_(filter.f1),
        f2_(filter.f2),
        stride_(conv.stride),
        padding_(conv.padding),
        weight_(weight),
        bias_(bias),
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
    const auto sums = [&](const Strip& now) {
      sum(work, now, state.E, 0, &i, &j);
      if (state.G) sum(work, now, state.G, 4 * bias_, &i, &j);
      if (state.T && !first) sum(work, now, state.T, terms_.bias * bias_, nullptr, nullptr);
    };
    if (keeps_shape()) {
      sums(work.strip);
    } else {
      Strip now = strip_after(work.strip);
      sums(now);
      work.strip = std::move(now);
    }
    if (state.T && first) first_tangent(state, work.strip.size());
  }

 private:
  bool keeps_shape() const { return padding_ != arch::Padding::valid && stride_ == 1; }
  Strip strip_after(Strip strip) const {
    for (Plane& plane : strip.planes) {
      const Extent size = after({plane.h, plane.w});
      plane.h = size.h;
      plane.w = size.w;
      plane.image = after(plane.image);
      for (Index* origin : {&plane.yi, &plane.xi, &plane.yj, &plane.xj}) *origin /= stride_;
    }
    strip.lay_out();
    return strip;
  }
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
    const auto& loops = plane_loops<Real>();
    const bool along = keeps_shape();
    if (along) loops.sum_along(old.size(), f2_, values - before2_, sums + top * now.w);
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
      along ? loops.sum_ends(from, f, to) : loops.sum_rows(from, f, to);
      if (sees_outside()) outside_rows(work, plane, i, j, f.out_w, to, now.w);
    }
    if (padding_ == arch::Padding::circular) {
      Real* const rows = sums + top * now.w;
      for (Index y = 1; y <= top; ++y)
        std::copy_n(rows + modulo(-y, old.h) * now.w, now.w, rows - y * now.w);
      for (Index y = 0; y < bottom; ++y)
        std::copy_n(rows + y % old.h * now.w, now.w, rows + (old.h + y) * now.w);
    }
    loops.sum_columns(
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
  void outside_rows(const PlaneWork<Real>& work, const Plane& plane, const PixelFactors* i,
                    const PixelFactors* j, Index out_w, Real* to, Index out_pitch) const {
    const Index below = f1_ - 1 - before1_;
    const auto fill = [&](Index y, const PixelFactors* of, Index y0, Index x0) {
      Real* out = to + y * out_pitch;
      if (of == nullptr)
        std::fill_n(out, out_w, Real{0});
      else
        plane_loops<Real>().sum_squares(out_w, f2_, stride_, static_cast<Real>(of->square),
                                        norms(work, *of).at(y + y0, x0 - before2_), out);
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

}  // namespace

std::unique_ptr<PixelStep> conv_step(const arch::Conv& conv, arch::Window filter, double weight,
                                     double bias, TangentTerms terms, TangentBefore before) {
  return std::make_unique<ConvStep>(conv, filter, weight, bias, terms, before);
}

}  // namespace mercer::kernel
