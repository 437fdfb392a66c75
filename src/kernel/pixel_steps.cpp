#include "pixel_fields.hpp"

#include <algorithm>
#include <cmath>

namespace mercer::kernel {
namespace {

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
    products(work, i, j);
    const PlaneState<Real> state = work.top();
    plane_loops<Real>().rectifier(strip.size(), state, sums_ ? state.G : nullptr, work.apart.data(),
                                  work.four.data(), terms_);
    work.sums = work.sums && sums_;
  }

 private:
  template <class Real>
  void products(PlaneWork<Real>& work, const PixelFactors& i, const PixelFactors& j) const {
    const Strip& strip = work.strip;
    const Plane& plane = strip.planes[0];  // as high as the others, from the same row on
    const FieldView<Real> of_i(*i.norms, plane.image, work.outside());
    const FieldView<Real> of_j(*j.norms, plane.image, work.outside());
    // Where p' goes on at the image's other side.
    const Index end = std::min(plane.h, plane.image.h - plane.yj);
    const auto rows = [&](Index y, Index h, Index yj) {
      work.pieces.clear();
      for (std::size_t k = 0; k < strip.planes.size(); ++k) {
        const auto& [image, wrapped, height, w, yi, xi, unused, xj] = strip.planes[k];
        const Index part = std::min(w, image.w - xj), first = strip.first[k];
        work.pieces.push_back({of_i.at(y + yi, xi), of_j.at(yj, xj), first, part});
        if (part < w)
          work.pieces.push_back(
              {of_i.at(y + yi, xi + part), of_j.at(yj, 0), first + part, w - part});
      }
      plane_loops<Real>().products(h, strip.w, std::ssize(work.pieces), work.pieces.data(),
                                   of_i.pitch, work.apart.data() + y * strip.w,
                                   work.four.data() + y * strip.w);
    };
    rows(0, end, plane.yj);
    if (end < plane.h) rows(end, plane.h - end, 0);
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
