#include "pair_run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace mercer::kernel {
namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double real(Index count) {
  return static_cast<double>(count);
}

/// The number of the pixel that a plane's pair (y, x) has, with (y0, x0) of pair (0, 0).
Index pixel(const Plane& plane, Index y, Index y0, Index x, Index x0) {
  return (y + y0) % plane.image.h * plane.image.w + (x + x0) % plane.image.w;
}

/// mean - spread; 0 where that is the rounding of the two in Real, as for windows that are equal.
template <class Real>
double less(double mean, double spread) {
  const double rest = mean - spread;
  return rest > 2 * std::numeric_limits<Real>::epsilon() * spread ? rest : 0;
}

/// sqrt(q), of rounding below 0 that of 0; a NaN stays one.
double root(double q) {
  return q < 0 ? 0 : std::sqrt(q);
}

/// The norms of the pixels, sqrt(|x_p|^2/C).
PixelState input_state(const double* x, const arch::Image& image, Extent extent) {
  const Index C = image.channels;
  PixelState state{extent, {}, std::vector<double>(at(extent.pixels()), 0.0)};
  for (Index p = 0; p < extent.pixels(); ++p) {
    double square = 0;
    for (Index c = 0; c < C; ++c) square += x[c * extent.pixels() + p] * x[c * extent.pixels() + p];
    state.s.push_back(std::sqrt(square / real(C)));
  }
  return state;
}

/// The mean of f(p) over the window of pixel (y, x).
template <class F>
double mean_of_window(const PixelState& state, const Boundary& boundary, Index y, Index x, F&& f) {
  const auto [f1, f2, stride] = boundary;
  double sum = 0;
  for (Index a = 0; a < f1; ++a)
    for (Index b = 0; b < f2; ++b) sum += f(at((y * f1 + a) * state.extent.w + x * f2 + b));
  return sum / real(f1 * f2);
}

}  // namespace

template <class Real>
void Planes<Real>::lay_out(const Stage& stage) {
  first.clear();
  pairs = 0;
  for (const Strip& strip : stage.strips)
    for (const Plane& plane : strip.planes) {
      first.push_back(pairs);
      pairs += plane.size();
    }
  values.assign(at(3 * pairs), Real{0});
}

template <class Real>
PairRun<Real>::PairRun(const PixelProgram& program, const arch::Image& image, bool tangent)
    : program_(program), image_(image), work_(program.sizes, tangent) {}

template <class Real>
Readout PairRun<Real>::run(const double* x, const ImageFields& i, const double* z,
                           const ImageFields& j) {
  for (std::size_t k = 0; k < program_.stages.size(); ++k) {
    stage(k, x, i, z, j);
    if (k + 1 < program_.stages.size()) subtract_spread(k, i.spread[k], j.spread[k]);
  }
  return readout(i.readout_spread, j.readout_spread);
}

/// One stage, from the planes of the one before to sums over those of the next, means over windows,
/// or over the readout.
template <class Real>
void PairRun<Real>::stage(std::size_t k, const double* x, const ImageFields& i, const double* z,
                          const ImageFields& j) {
  const Stage& stage = program_.stages[k];
  const bool last = k + 1 == program_.stages.size();
  if (last)
    sum_ = {};
  else
    pooled_rows_.assign(at(3 * stage.pooled), Real{0});
  for (const Strip& strip : stage.strips) {
    work_.start(strip, stage.sums);
    k == 0 ? input(x, z) : take();
    for (std::size_t step = stage.first; step < stage.last; ++step)
      program_.steps[step]->apply(work_, i.steps[step], j.steps[step]);
    last ? add_to_readout() : pool_rows(k);
  }
  if (last) return;
  next_.lay_out(program_.stages[k + 1]);
  pool_columns(k);
  std::swap(now_, next_);
}

/// E = |x_p - z_p'|^2/C, G = |x_p + z_p'|^2/C, T = 0.
template <class Real>
void PairRun<Real>::input(const double* x, const double* z) {
  const PlaneState<Real> to = work_.top();
  const Strip& strip = work_.strip;
  const Index C = image_.channels;
  const Extent image = program_.stages[0].begin;
  const auto row = [&](const double* p, const double* q, Index n, Index k) {
    plane_loops<Real>().distances(n, C, image.pixels(), p, q, to.E + k, to.G + k);
  };
  for (std::size_t number = 0; number < strip.planes.size(); ++number) {
    const Plane& plane = strip.planes[number];
    // Where a wrapped row of z goes on at its beginning.
    const Index end = std::min(plane.w, plane.image.w - plane.xj);
    for (Index y = 0; y < plane.h; ++y) {
      const Index k = y * strip.w + strip.first[number];
      const double* p = x + pixel(plane, y, plane.yi, 0, plane.xi);
      row(p, z + pixel(plane, y, plane.yj, 0, plane.xj), end, k);
      if (end < plane.w)
        row(p + end, z + pixel(plane, y, plane.yj, end, plane.xj), plane.w - end, k + end);
    }
  }
  if (to.T && program_.fills_tangent) std::fill_n(to.T, strip.size(), Real{0});
}

template <class Real>
void PairRun<Real>::take() {
  const PlaneState<Real> state = work_.top();
  const Strip& strip = work_.strip;
  Index part = 0;
  for (Real* to : {state.E, state.G, state.T}) {
    const Real* values = now_.values.data() + part * now_.pairs;
    ++part;
    if (to == nullptr) continue;
    for (std::size_t k = 0; k < strip.planes.size(); ++k) {
      const Plane& plane = strip.planes[k];
      const Real* from = values + now_.first[strip.number + k];
      for (Index y = 0; y < plane.h; ++y)
        std::copy_n(from + y * plane.w, plane.w, to + y * strip.w + strip.first[k]);
    }
  }
}

/// Adds the strip's rows to those of the windows.
template <class Real>
void PairRun<Real>::pool_rows(std::size_t k) {
  const Stage& stage = program_.stages[k];
  const PlaneState<Real> state = work_.top();
  const Strip& strip = work_.strip;
  const auto& rows = stage.rows[strip.number / stage.dx.size()];
  const std::size_t first = strip.number % stage.dx.size();
  Real* all = pooled_rows_.data();
  for (std::size_t n = 0; n < first; ++n) all += stage.pooled_rows * std::ssize(stage.columns[n]);
  for (std::size_t n = 0; n < strip.planes.size(); ++n) {
    const Index w = strip.planes[n].w;
    Index part = 0;
    for (const Real* from : {state.E, state.G, state.T}) {
      Real* const sums = all + part++ * stage.pooled;
      if (from == nullptr) continue;
      from += strip.first[n];
      for (std::size_t y = 0; y < rows.size(); ++y, from += strip.w) {
        if (rows[y].at < 0) continue;
        Real* to = sums + (stage.pooled_first[at(rows[y].at)] + rows[y].position) * w;
        plane_loops<Real>().add(w, from, to);
      }
    }
    all += stage.pooled_rows * w;
  }
}

/// From the sums over the windows' rows to means over the windows.
template <class Real>
void PairRun<Real>::pool_columns(std::size_t k) {
  const Stage& stage = program_.stages[k];
  const Stage& next = program_.stages[k + 1];
  const Index windows = stage.boundary.f1 * stage.boundary.f2;
  const auto share = static_cast<Real>(1 / real(windows * windows));
  const auto width = [&](Index D) {
    return next.wrapped ? next.begin.w : next.begin.w - std::abs(D);
  };
  for (Index part = 0; part < 3; ++part) {
    if ((part == 1 && !next.sums) || (part == 2 && !work_.tangent())) continue;
    const Real* from = pooled_rows_.data() + part * stage.pooled;
    Real* const to = next_.values.data() + part * next_.pairs;
    for (const auto& columns : stage.columns)
      for (std::size_t D = 0; D < next.dy.size(); ++D) {
        const Index* const planes = next_.first.data() + D * next.dx.size();
        const Index end = D + 1 < next.dy.size() ? stage.pooled_first[D + 1] : stage.pooled_rows;
        for (Index y = 0; y < end - stage.pooled_first[D]; ++y)
          for (const Target& column : columns) {
            const Real value = share * *from++;
            if (column.at < 0) continue;
            to[planes[column.at] + y * width(next.dx[at(column.at)]) + column.position] += value;
          }
      }
  }
}

template <class Real>
void PairRun<Real>::subtract_spread(std::size_t k, const std::vector<double>& of_i,
                                    const std::vector<double>& of_j) {
  if (of_i.empty()) return;
  const Stage& next = program_.stages[k + 1];
  std::size_t number = 0;
  for (const Index dy : next.dy)
    for (const Index dx : next.dx) {
      const Plane plane = plane_at(next.begin, next.wrapped, dy, dx);
      Real* E = now_.values.data() + now_.first[number++];
      Real* G = E + now_.pairs;
      for (Index y = 0; y < plane.h; ++y)
        for (Index x = 0; x < plane.w; ++x, ++E, ++G) {
          const double spread = of_i[at(pixel(plane, y, plane.yi, x, plane.xi))] +
                                of_j[at(pixel(plane, y, plane.yj, x, plane.xj))];
          *E = static_cast<Real>(less<Real>(*E, spread));
          *G = static_cast<Real>(less<Real>(*G, spread));
        }
    }
}

template <class Real>
void PairRun<Real>::add_to_readout() {
  const PlaneState<Real> from = work_.top();
  const Index n = work_.strip.size();
  const auto& loops = plane_loops<Real>();
  sum_.E += loops.sum(n, from.E);
  if (from.G) sum_.G += loops.sum(n, from.G);
  if (from.T) sum_.T += loops.sum(n, from.T);
}

template <class Real>
Readout PairRun<Real>::readout(double spread_i, double spread_j) const {
  const double pixels = real(program_.stages.back().end.pixels());
  const double pairs = program_.gap ? pixels * pixels : pixels, spread = spread_i + spread_j;
  return {less<Real>(sum_.E / pairs, spread), less<Real>(sum_.G / pairs, spread), sum_.T / pairs};
}

template <class Real>
ImageState PairRun<Real>::prepare(const double* x, ImageFields& fields) {
  ImageState result;
  std::vector<PixelState> stack{input_state(x, image_, program_.stages[0].begin)};
  fields.spread.resize(program_.stages.size());
  const auto measure = [&](const PixelState& state) {
    for (const double s : state.s)
      if (!(s <= result.largest))
        result.largest = std::isnan(s) ? std::numeric_limits<double>::infinity() : s;
  };
  measure(stack[0]);
  for (std::size_t k = 0; k < program_.stages.size(); ++k) {
    const Stage& stage = program_.stages[k];
    for (std::size_t step = stage.first; step < stage.last; ++step) {
      fields.steps.push_back(program_.steps[step]->prepare(stack, std::is_same_v<Real, float>,
                                                           program_.sizes.outside));
      measure(stack.back());
      const Features& features = fields.steps.back().dual.features;
      result.error += features.value_error + (work_.tangent() ? features.slope_error : 0);
    }
    this->stage(k, x, fields, x, fields);
    if (k + 1 < program_.stages.size()) cross(k, stack[0], fields.spread[k]);
  }
  const PixelState& end = stack[0];
  const auto own = readout(0, 0);
  double q = 0, mean = 0;
  for (std::size_t p = 0; p < end.s.size(); ++p) {
    q += end.s[p] * end.s[p];
    mean += end.s[p] * end.mean[p];
  }
  q /= real(end.extent.pixels());
  if (program_.gap) {
    fields.readout_spread = own.E / 2;
    q = program_.sums ? (own.G - own.E) / 4 : q - own.E / 2;
    mean /= real(end.extent.pixels());
  } else {
    mean = 0;  // a dense follows
  }
  result.s = root(q);
  result.mean = result.s > 0 ? mean / result.s : 0;
  result.tau = q > 0 ? own.T / q : 0;
  return result;
}

/// The plane of p = p' behind stage k, of an image with itself: E; G is now_.pairs further on.
template <class Real>
const Real* PairRun<Real>::own(std::size_t k) const {
  const Stage& next = program_.stages[k + 1];
  const auto zero = [](const Offsets& d) { return std::ranges::find(d, 0) - d.begin(); };
  const auto number = zero(next.dy) * std::ssize(next.dx) + zero(next.dx);
  return now_.values.data() + now_.first[at(number)];
}

/// The state behind boundary k of an image by itself: windows, whose `spread` is appended, or every
/// stride-th pixel.
template <class Real>
void PairRun<Real>::cross(std::size_t k, PixelState& state, std::vector<double>& spread) {
  const Boundary& boundary = program_.stages[k].boundary;
  const bool sums = program_.stages[k + 1].sums;
  PixelState next{program_.stages[k + 1].begin, {}, {}};
  const Real *E = own(k), *G = E + now_.pairs;
  for (Index y = 0, n = 0; y < next.extent.h; ++y)
    for (Index x = 0; x < next.extent.w; ++x, ++n) {
      if (!boundary.pools()) {
        const std::size_t p = at((y * state.extent.w + x) * boundary.stride);
        next.s.push_back(state.s[p]);
        next.mean.push_back(state.mean[p]);
        continue;
      }
      const double half = E[n] / 2, square = mean_of_window(state, boundary, y, x, [&](auto p) {
                                      return state.s[p] * state.s[p];
                                    });
      const double q = sums ? (static_cast<double>(G[n]) - E[n]) / 4 : square - half;
      const double s = root(q);
      const double mean =
          mean_of_window(state, boundary, y, x, [&](auto p) { return state.s[p] * state.mean[p]; });
      next.s.push_back(s);
      next.mean.push_back(s > 0 ? mean / s : 0);
      spread.push_back(half);
    }
  subtract_spread(k, spread, spread);
  state = std::move(next);
}

template class PairRun<double>;
template class PairRun<float>;

}  // namespace mercer::kernel
