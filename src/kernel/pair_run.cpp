#include "pair_run.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

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

/// mean - spread; 0 where that is the rounding of the two, as for windows that are equal.
double less(double mean, double spread) {
  const double rest = mean - spread;
  return rest > 4e-16 * spread ? rest : 0;
}

/// The norms of the pixels, sqrt(|x_p|^2/C).
PixelState input_state(const double* x, const arch::Image& image, Extent extent) {
  const Index C = image.channels;
  PixelState state{extent, {}, std::vector<double>(at(extent.pixels()), 0.0)};
  for (Index p = 0; p < extent.pixels(); ++p) {
    double square = 0;
    for (Index c = 0; c < C; ++c) square += x[p * C + c] * x[p * C + c];
    state.s.push_back(std::sqrt(square / real(C)));
  }
  return state;
}

/// The mean over the window of pixel (y, x).
double mean_of_window(const PixelState& state, const Boundary& boundary, Index y, Index x) {
  const auto [f1, f2, stride] = boundary;
  double sum = 0;
  for (Index a = 0; a < f1; ++a)
    for (Index b = 0; b < f2; ++b) {
      const std::size_t p = at((y * f1 + a) * state.extent.w + x * f2 + b);
      sum += state.s[p] * state.mean[p];
    }
  return sum / real(f1 * f2);
}

}  // namespace

void Planes::lay_out(const Stage& stage) {
  first.clear();
  pairs = 0;
  for (const Index dy : stage.dy)
    for (const Index dx : stage.dx) {
      first.push_back(pairs);
      pairs += plane_at(stage.begin, stage.wrapped, dy, dx).size();
    }
  values.assign(at(3 * pairs), 0.0);
}

PairRun::PairRun(const PixelProgram& program, const arch::Image& image, bool tangent)
    : program_(program), image_(image), work_(program.sizes, tangent) {}

Readout PairRun::run(const double* x, const ImageFields& i, const double* z, const ImageFields& j) {
  for (std::size_t k = 0; k < program_.stages.size(); ++k) {
    stage(k, x, i, z, j);
    if (k + 1 < program_.stages.size()) subtract_spread(k, i.spread[k], j.spread[k]);
  }
  return readout(i.readout_spread, j.readout_spread);
}

/// One stage, from the planes of the one before to sums over those of the next, means over windows,
/// or over the readout.
void PairRun::stage(std::size_t k, const double* x, const ImageFields& i, const double* z,
                    const ImageFields& j) {
  const Stage& stage = program_.stages[k];
  const bool last = k + 1 == program_.stages.size();
  if (last)
    sum_ = {};
  else
    next_.lay_out(program_.stages[k + 1]);
  std::size_t number = 0;
  for (const Index dy : stage.dy)
    for (const Index dx : stage.dx) {
      work_.start(plane_at(stage.begin, stage.wrapped, dy, dx));
      k == 0 ? input(x, z) : take(number);
      ++number;
      for (std::size_t step = stage.first; step < stage.last; ++step)
        program_.steps[step]->apply(work_, i.steps[step], j.steps[step]);
      if (last)
        add_to_readout();
      else
        scatter(k, dy / stage.stride, dx / stage.stride);
    }
  if (!last) std::swap(now_, next_);
}

/// E = |x_p - z_p'|^2/C, G = |x_p + z_p'|^2/C, T = 0.
void PairRun::input(const double* x, const double* z) {
  const Plane& plane = work_.plane;
  const PlaneState to = work_.top();
  const Index C = image_.channels;
  const double scale = 1 / real(C);
  const Index end = plane.image.w - plane.xj;  // where a wrapped row of z goes on at its beginning
  for (Index y = 0; y < plane.h; ++y) {
    const double* p = x + C * pixel(plane, y, plane.yi, 0, plane.xi);
    const double* q = z + C * pixel(plane, y, plane.yj, 0, plane.xj);
    Index k = y * work_.pitch();
    for (Index column = 0; column < plane.w; ++column, ++k, p += C, q += C) {
      if (column == end) q -= C * plane.image.w;
      double E = 0, G = 0;
      for (Index c = 0; c < C; ++c) {
        const double minus = p[c] - q[c], plus = p[c] + q[c];
        E += minus * minus;
        G += plus * plus;
      }
      to.E[k] = scale * E;
      to.G[k] = scale * G;
    }
    if (to.T) std::fill_n(to.T + y * work_.pitch(), plane.w, 0.0);
  }
}

void PairRun::take(std::size_t number) {
  const PlaneState to = work_.top();
  const double* from = now_.values.data() + now_.first[number];
  for (Index y = 0; y < work_.plane.h; ++y, from += work_.plane.w) {
    const Index first = y * work_.pitch();
    std::copy_n(from, work_.plane.w, to.E + first);
    std::copy_n(from + now_.pairs, work_.plane.w, to.G + first);
    if (to.T) std::copy_n(from + 2 * now_.pairs, work_.plane.w, to.T + first);
  }
}

/// Adds the plane to the means of the windows. dy, dx: its offset behind the steps.
void PairRun::scatter(std::size_t k, Index dy, Index dx) {
  const Stage& stage = program_.stages[k];
  const Stage& next = program_.stages[k + 1];
  const auto [f1, f2, stride] = stage.boundary;
  const auto rows =
      targets(dy, stage.end.h, stage.wrapped, f1, stride, next.dy, next.begin.h, next.wrapped);
  const auto columns =
      targets(dx, stage.end.w, stage.wrapped, f2, stride, next.dx, next.begin.w, next.wrapped);
  const auto count = static_cast<Index>(next.dx.size());
  const double share = 1 / (real(f1 * f2) * real(f1 * f2));
  const PlaneState from = work_.top();
  double* E = next_.values.data();
  double *G = E + next_.pairs, *T = G + next_.pairs;
  for (std::size_t y = 0; y < rows.size(); ++y) {
    const Target& row = rows[y];
    auto n = static_cast<Index>(y) * work_.pitch();
    for (const Target& column : columns) {
      if (row.at >= 0 && column.at >= 0) {
        const Index width =
            next.wrapped ? next.begin.w : next.begin.w - std::abs(next.dx[at(column.at)]);
        const Index to =
            next_.first[at(row.at * count + column.at)] + row.position * width + column.position;
        E[to] += share * from.E[n];
        G[to] += share * from.G[n];
        if (from.T) T[to] += share * from.T[n];
      }
      ++n;
    }
  }
}

void PairRun::subtract_spread(std::size_t k, const std::vector<double>& of_i,
                              const std::vector<double>& of_j) {
  if (of_i.empty()) return;
  const Stage& next = program_.stages[k + 1];
  std::size_t number = 0;
  for (const Index dy : next.dy)
    for (const Index dx : next.dx) {
      const Plane plane = plane_at(next.begin, next.wrapped, dy, dx);
      double* E = now_.values.data() + now_.first[number++];
      double* G = E + now_.pairs;
      for (Index y = 0; y < plane.h; ++y)
        for (Index x = 0; x < plane.w; ++x, ++E, ++G) {
          const double spread = of_i[at(pixel(plane, y, plane.yi, x, plane.xi))] +
                                of_j[at(pixel(plane, y, plane.yj, x, plane.xj))];
          *E = less(*E, spread);
          *G = less(*G, spread);
        }
    }
}

void PairRun::add_to_readout() {
  const PlaneState from = work_.top();
  const auto sum = [&](const double* values) {
    double all = 0;
    for (Index y = 0; y < work_.plane.h; ++y, values += work_.pitch())
      all = std::accumulate(values, values + work_.plane.w, all);
    return all;
  };
  sum_.E += sum(from.E);
  sum_.G += sum(from.G);
  if (from.T) sum_.T += sum(from.T);
}

Readout PairRun::readout(double spread_i, double spread_j) const {
  const double pixels = real(program_.stages.back().end.pixels());
  const double pairs = program_.gap ? pixels * pixels : pixels, spread = spread_i + spread_j;
  return {less(sum_.E / pairs, spread), less(sum_.G / pairs, spread), sum_.T / pairs};
}

ImageState PairRun::prepare(const double* x, ImageFields& fields) {
  ImageState result;
  std::vector<PixelState> stack{input_state(x, image_, program_.stages[0].begin)};
  fields.spread.resize(program_.stages.size());
  for (std::size_t k = 0; k < program_.stages.size(); ++k) {
    const Stage& stage = program_.stages[k];
    for (std::size_t step = stage.first; step < stage.last; ++step) {
      fields.steps.push_back(program_.steps[step]->prepare(stack));
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
  if (program_.gap) {
    fields.readout_spread = own.E / 2;
    q = (own.G - own.E) / 4;
    mean /= real(end.extent.pixels());
  } else {
    q /= real(end.extent.pixels());
    mean = 0;  // a dense follows
  }
  result.s = std::sqrt(std::max(0.0, q));
  result.mean = result.s > 0 ? mean / result.s : 0;
  result.tau = q > 0 ? own.T / q : 0;
  return result;
}

/// The plane of p = p' behind stage k, of an image with itself: E; G is now_.pairs further on.
const double* PairRun::own(std::size_t k) const {
  const Stage& next = program_.stages[k + 1];
  const auto zero = [](const Offsets& d) { return std::ranges::lower_bound(d, 0) - d.begin(); };
  const auto number = zero(next.dy) * std::ssize(next.dx) + zero(next.dx);
  return now_.values.data() + now_.first[at(number)];
}

/// The state behind boundary k of an image by itself: windows, whose `spread` is appended, or every
/// stride-th pixel.
void PairRun::cross(std::size_t k, PixelState& state, std::vector<double>& spread) {
  const Boundary& boundary = program_.stages[k].boundary;
  PixelState next{program_.stages[k + 1].begin, {}, {}};
  const double *E = own(k), *G = E + now_.pairs;
  for (Index y = 0, n = 0; y < next.extent.h; ++y)
    for (Index x = 0; x < next.extent.w; ++x, ++n) {
      if (!boundary.pools()) {
        const std::size_t p = at((y * state.extent.w + x) * boundary.stride);
        next.s.push_back(state.s[p]);
        next.mean.push_back(state.mean[p]);
        continue;
      }
      const double s = std::sqrt(std::max(0.0, (G[n] - E[n]) / 4));
      next.s.push_back(s);
      next.mean.push_back(s > 0 ? mean_of_window(state, boundary, y, x) / s : 0);
      spread.push_back(E[n] / 2);
    }
  subtract_spread(k, spread, spread);
  state = std::move(next);
}

}  // namespace mercer::kernel
