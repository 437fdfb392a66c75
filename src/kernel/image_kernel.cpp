#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "kernels.hpp"
#include "mercer/base/random.hpp"
#include "pair_run.hpp"
#include "reference.hpp"
#include "unit_rows.hpp"

namespace mercer::kernel {

namespace {

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double real(Index count) {
  return static_cast<double>(count);
}

struct ImageRows : Rows {
  Matrix<double> x;           ///< d x m, channel after channel of image i times 2^-exponent[i]
  std::vector<int> exponent;  ///< 0 where the network is not homogeneous
  std::vector<ImageFields> images;
  std::vector<double> s;          ///< norms behind flatten or gap
  std::vector<Factors> factors;   ///< of the steps on rows
  std::vector<double> norm, tau;  ///< of the output: sqrt(K_ii), T_ii/K_ii
  double error = 0;
  std::function<double(const ImageRows&)> single_error;  ///< costs several entries

  Index size() const override { return x.cols(); }
  Index bytes() const override {
    auto all = 8 * (x.size() + 3 * x.cols()) + 4 * x.cols();
    for (const auto& image : images) {
      for (const auto& f : image.steps) all += f.bytes();
      for (const auto& field : image.spread) all += static_cast<Index>(8 * field.size());
    }
    for (const auto& f : factors)
      for (const auto& field : f.of) all += static_cast<Index>(8 * field.size());
    return all;
  }
  double error_estimate() const override {
    return error + (single_error ? single_error(*this) : 0);
  }
};

/// Norms of pixels whose squares, and sums of four of them, are in the range of double, and those
/// whose squares keep their digits.
constexpr double kLargest = 6e153, kLeast = 1e-140;
constexpr const char* kTooLarge =
    "its kernel k(x, x) exceeds the range of double precision (1.8e308): give smaller inputs "
    "(`scale`) or weights (`weight_std`)";

/// Whether, without biases, h(s x) = s h(x) for s > 0.
bool is_homogeneous(const std::vector<arch::Layer>& layers) {
  return std::ranges::all_of(layers, [](const arch::Layer& layer) {
    return std::visit(
        arch::Each{
            [](const arch::Activation& rho) { return rho.function == arch::Function::rectifier; },
            [](const arch::Residual& residual) { return is_homogeneous(residual.branch); },
            [](const arch::Dense&) { return true; }, [](const arch::Conv&) { return true; },
            [](const arch::AveragePool&) { return true; },
            [](const arch::Flatten&) { return true; },
            [](const arch::GlobalAverage&) { return true; }},
        layer.what);
  });
}

/// Multiplies x by a power of two, which is exact, so that its root mean square is in [1, 2).
/// Returns e: the old x is 2^e times the new. Of zeros 0.
int scale_to_one(double* x, Index d) {
  const double largest = largest_magnitude(x, d);
  if (!(largest > 0)) return 0;
  int exponent = 0;
  const auto scale_down = [&](double magnitude) {
    const int e = std::ilogb(magnitude);
    for (Index k = 0; e != 0 && k < d; ++k) x[k] = std::scalbn(x[k], -e);
    exponent += e;
  };
  scale_down(largest);  // its square may leave the range of double
  scale_down(std::sqrt(sum_of_squares(x, d) / real(d)));
  return exponent;
}

/// Which entries of a tile are those of another one mirrored, as in a diagonal block of K: of
/// images that are both among its rows and its columns one of (x, z) and (z, x) is evaluated. (Of
/// those that are one another times a power of two both may be.)
class Mirror {
 public:
  Mirror(const ImageRows& x, Index i0, Index m, const ImageRows& z, Index j0, Index n) {
    std::unordered_map<std::string_view, Index> rows, columns;
    for (Index i = 0; i < m; ++i) rows.emplace(content(x, i0 + i), i);
    for (Index j = 0; j < n; ++j) columns.emplace(content(z, j0 + j), j);
    const auto find = [](const auto& map, const ImageRows& in, Index first, const ImageRows& of,
                         Index image) {
      const auto found = map.find(content(of, image));
      return found != map.end() && in.exponent[at(first + found->second)] == of.exponent[at(image)]
                 ? found->second
                 : Index{-1};
    };
    for (Index i = i0; i < i0 + m; ++i) {
      first_.push_back(find(rows, x, i0, x, i));
      columns_.push_back(find(columns, z, j0, x, i));
    }
    for (Index j = j0; j < j0 + n; ++j) rows_.push_back(find(rows, x, i0, z, j));
  }
  /// The first row with the image of column j, and the first column with that of row i; -1: none.
  Index row(Index j) const { return rows_[at(j)]; }
  Index column(Index i) const { return columns_[at(i)]; }
  /// Whether entry (i, j) is that of (row(j), column(i)), which does not copy.
  bool copies(Index i, Index j) const {
    return row(j) >= 0 && column(i) >= 0 && row(j) < first_[at(i)];
  }

 private:
  static std::string_view content(const ImageRows& rows, Index i) {
    return {reinterpret_cast<const char*>(rows.x.column(i)), sizeof(double) * at(rows.x.rows())};
  }
  std::vector<Index> first_, columns_, rows_;
};

/// NTK or NNGP of a convolutional architecture: the recursion of Arora et al. 2019
/// (arXiv 1904.11955) and Garriga-Alonso et al. 2019 on pairs of pixels, as planes of equal offset
/// (plane_loops.hpp); behind flatten or gap that of dense layers (NetworkKernel).
class ImageKernel : public Kernel {
 public:
  ImageKernel(const arch::Architecture& architecture, bool tangent,
              const std::vector<double>& weight_terms, bool single)
      : architecture_(architecture),
        weight_terms_(weight_terms),
        tangent_(tangent),
        standard_(!weight_terms.empty()),
        homogeneous_(architecture.bias_std == 0 && is_homogeneous(architecture.layers)),
        single_(single) {
    std::span<const double> terms(weight_terms_);
    pixels_ = compile_pixels(architecture_, terms);
    const auto rows = std::span(architecture_.layers).subspan(pixels_.layers);
    program_ = compile(rows, architecture_, pixels_.mean, terms);
    if (!standard_) architecture_ = architecture_.without_widths();
  }

  std::string text() const override {
    return fmt::format("{}({}; image={}; weight_std={}; bias_std={}{}{})",
                       tangent_ ? "ntk" : "nngp", architecture_.text(), architecture_.image.text(),
                       architecture_.weight_std, architecture_.bias_std,
                       standard_ ? "; standard" : "", single_ ? "; state=single" : "");
  }

  std::unique_ptr<Rows> prepare(Matrix<double>&& X) const override {
    require_image(X.rows());
    for (Index i = 0; i < X.cols(); ++i) by_channel(X.column(i));
    auto rows = prepared(std::move(X));
    if (single_)
      rows->single_error = [this](const ImageRows& images) { return single_error(images); };
    return rows;
  }

  /// Of images channel after channel.
  std::unique_ptr<ImageRows> prepared(Matrix<double>&& X) const {
    auto rows = std::make_unique<ImageRows>();
    rows->x = std::move(X);
    scale(*rows);
    std::vector<RowState> stack(1);
    single_ ? prepare_images<float>(*rows, stack[0]) : prepare_images<double>(*rows, stack[0]);
    rows->s = stack[0].s;
    for (const auto& step : program_) {
      rows->factors.push_back(step->prepare(stack));
      const Features& features = rows->factors.back().features;
      rows->error += features.value_error + (tangent_ ? features.slope_error : 0);
    }
    rows->norm = std::move(stack[0].s);
    rows->tau = std::move(stack[0].tau);
    for (Index i = 0; i < rows->size(); ++i) {
      rows->norm[at(i)] = std::scalbn(rows->norm[at(i)], rows->exponent[at(i)]);
      if (const auto why = out_of_range(*rows, i); !why.empty()) throw RowError(i, why);
    }
    return rows;
  }

  void tile(const Rows& x_rows, Index i0, const Rows& z_rows, Index j0,
            MatrixView<double> out) const override {
    const auto& x = static_cast<const ImageRows&>(x_rows);
    const auto& z = static_cast<const ImageRows&>(z_rows);
    single_ ? tile_of<float>(x, i0, z, j0, out) : tile_of<double>(x, i0, z, j0, out);
  }

  void diagonal(const Rows& x_rows, Index i0, Index count, double* out) const override {
    const auto& x = static_cast<const ImageRows&>(x_rows);
    for (Index i = 0; i < count; ++i) {
      const double s = x.norm[at(i0 + i)];
      out[i] = (tangent_ ? x.tau[at(i0 + i)] * s : s) * s;
    }
  }

  std::string range_error(const Rows& x, Index i) const override {
    return out_of_range(static_cast<const ImageRows&>(x), i);
  }

  arch::Image image() const override { return architecture_.image; }
  std::string error_source() const override {
    return single_ ? "that of `state` single, which double does not have" : Kernel::error_source();
  }
  std::optional<long double> reference(std::span<const double> x,
                                       std::span<const double> z) const override {
    if (reference_steps() == 0) return {};
    for (const auto& image : {x, z}) require_image(std::ssize(image));
    return reference_images(architecture_, tangent_, weight_terms_, x, z);
  }

  double reference_steps() const override {
    constexpr double kMost = 1e6;  // about two seconds
    return pixels_.entries() > kMost ? 0 : pixels_.entries();
  }

  Index bytes_per_row(Index d) const override {
    Index doubles = d + 3, bytes = sizeof(int);
    for (const Stage& stage : pixels_.stages) {
      Extent extent = stage.begin;
      for (std::size_t k = stage.first; k < stage.last; ++k) {
        bytes += pixels_.steps[k]->bytes(extent, single_, pixels_.sizes.outside);
        extent = pixels_.steps[k]->after(extent);
      }
      if (stage.boundary.pools()) doubles += extent.pixels();
    }
    for (const auto& step : program_) doubles += step->doubles_per_row();
    return 8 * doubles + bytes;
  }
  Index entry_length(Index) const override { return static_cast<Index>(20 * steps_per_entry()); }
  double steps_per_entry() const override { return std::max(1.0, pixels_.entries()); }
  Index scratch_bytes() const override {
    return pixels_.sizes.bytes() + 8 * 3 * (2 * pixels_.state + pixels_.pooled);
  }

 private:
  void require_image(Index numbers) const {
    if (numbers != architecture_.image.numbers())
      throw InputError("rows of {} numbers are not images of {}, which have {}", numbers,
                       architecture_.image.text(), architecture_.image.numbers());
  }
  /// From pixel after pixel to channel after channel.
  void by_channel(double* image) const {
    const Index C = architecture_.image.channels, pixels = architecture_.image.numbers() / C;
    if (C == 1) return;
    const std::vector<double> before(image, image + C * pixels);
    for (Index c = 0; c < C; ++c)
      for (Index p = 0; p < pixels; ++p) *image++ = before[at(p * C + c)];
  }
  /// Scales the images of a homogeneous network to one: K and T follow from those of scaled images,
  /// whose squares differ little. Throws RowError for images of others that have no squares.
  void scale(ImageRows& rows) const {
    const Index d = rows.x.rows();
    for (Index i = 0; i < rows.size(); ++i) {
      double* const x = rows.x.column(i);
      rows.exponent.push_back(homogeneous_ ? scale_to_one(x, d) : 0);
      if (homogeneous_ || architecture_.bias_std > 0) continue;
      if (const double largest = largest_magnitude(x, d); largest > 0 && largest < kLeast)
        throw RowError(i, fmt::format("its largest number is {:.2g}, the square of which leaves "
                                      "the range of double precision: give larger inputs (`scale`)",
                                      largest));
    }
  }
  template <class Real>
  void prepare_images(ImageRows& rows, RowState& state) const {
    PairRun<Real> run(pixels_, architecture_.image, tangent_);
    const std::string_view smaller =
        homogeneous_ ? "smaller weights (`weight_std`)" : "smaller inputs (`scale`)";
    for (Index i = 0; i < rows.size(); ++i) {
      const auto image = run.prepare(rows.x.column(i), rows.images.emplace_back());
      if (std::is_same_v<Real, float> && !(image.largest < 1e18))
        throw RowError(i, fmt::format("the root mean square of a pixel's units reaches {:.2g} in a "
                                      "layer, which `state` single does not take (1e18): give "
                                      "{}, or double",
                                      image.largest, smaller));
      if (!(image.largest < kLargest)) throw RowError(i, kTooLarge);
      state.s.push_back(image.s);
      state.mean.push_back(image.mean);
      state.tau.push_back(image.tau);
      rows.error = std::max(rows.error, image.error);
    }
  }
  template <class Real>
  void tile_of(const ImageRows& x, Index i0, const ImageRows& z, Index j0,
               MatrixView<double> out) const {
    PairRun<Real> run(pixels_, architecture_.image, tangent_);
    const Mirror mirror(x, i0, out.rows, z, j0, out.cols);
    // Blocks whose images stay in a large cache.
    const Index block = std::max<Index>(4, (Index{1} << 21) / bytes_per_row(x.x.rows()));
    for (Index j = 0; j < out.cols; j += block)
      for (Index i = 0; i < out.rows; i += block) {
        const Index m = std::min(block, out.rows - i), n = std::min(block, out.cols - j);
        evaluate(run, mirror, {x, i0, i}, {z, j0, j}, out.block(i, j, m, n));
      }
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i)
        if (mirror.copies(i, j)) out(i, j) = out(mirror.row(j), mirror.column(i));
  }

  /// A unit of rounding and four times the largest error, compared with double precision, among
  /// k(x, z) with x the images of the largest and of the least norm, as K is a difference of
  /// squares of norms, and z both of them, two others and an image near the first: at a distance of
  /// kNear |x|, about the root of float's rounding, pools lose most. Infinite where a comparison
  /// fails.
  double single_error(const ImageRows& rows) const {
    constexpr double kNear = 3e-4;
    constexpr Index kImages = 5;
    const Index d = rows.x.rows(), n = rows.size();
    if (n == 0) return 0;
    Index brightest = 0, darkest = 0;
    for (Index i = 0; i < n; ++i) {
      const double norm = rows.norm[at(i)], least = rows.norm[at(darkest)];
      if (norm > rows.norm[at(brightest)]) brightest = i;
      if (norm > 0 && (norm < least || !(least > 0))) darkest = i;
    }
    Matrix<double> X(d, kImages), k(kImages, 2), exact_k(kImages, 2);
    for (Index column = 0; const Index i : {brightest, darkest, n / 3, 2 * n / 3, brightest})
      std::copy_n(rows.x.column(i), d, X.column(column++));
    const std::span<double> near(X.column(kImages - 1), at(d));
    const double step = kNear * std::sqrt(sum_of_squares(near.data(), d) / real(d));
    const Random random(0, Stream::probe);
    for (std::uint64_t p = 0; double& value : near) value += step * random.normal(p++);
    const ImageKernel exact(architecture_, tangent_, weight_terms_, false);
    const auto theirs = exact.prepared(X.copy()), mine = prepared(std::move(X));
    tile(*mine, 0, *mine, 0, k.view());
    exact.tile(*theirs, 0, *theirs, 0, exact_k.view());
    double of_single[kImages], of_double[kImages], largest = 0;
    diagonal(*mine, 0, kImages, of_single);
    exact.diagonal(*theirs, 0, kImages, of_double);
    const auto count = [&](double error) {
      if (!(error <= largest))
        largest = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
    };
    for (Index i = 0; i < kImages; ++i) {
      if (!(of_double[i] > 0)) continue;
      count(std::abs(of_single[i] - of_double[i]) / of_double[i]);
      for (Index j = 0; j < 2; ++j)
        if (const double scale = std::sqrt(of_double[i]) * std::sqrt(of_double[j]); scale > 0)
          count(std::abs(k(i, j) - exact_k(i, j)) / scale);
    }
    return 4 * largest + static_cast<double>(std::numeric_limits<float>::epsilon());
  }
  /// The images of one side of a tile from `first` on, at `tile` the tile's first.
  struct Side {
    const ImageRows& rows;
    Index tile, first;
    Index begin() const { return tile + first; }
  };
  template <class Real>
  void evaluate(PairRun<Real>& run, const Mirror& mirror, const Side& x, const Side& z,
                MatrixView<double> out) const {
    Work work;
    const Index n = out.rows, i0 = x.begin();
    RawVector<double> sigma(at(n)), tau(at(n));
    std::vector<RawVector<double>> packed(program_.size());
    std::vector<RowView> views(program_.size());
    for (std::size_t k = 0; k < program_.size(); ++k) {
      views[k] = {.factors = &x.rows.factors[k], .first = i0};
      program_[k]->pack(views[k], n, z.rows.factors[k], packed[k]);
    }
    for (Index column = 0; column < out.cols; ++column) {
      const Index j = z.begin() + column;
      double* c = out.column(column);
      for (Index i = 0; i < n; ++i) {
        Readout pair;
        if (!mirror.copies(x.first + i, z.first + column))
          pair = run_pair(run, x.rows, i0 + i, z.rows, j);
        normalise(pair, x.rows.s[at(i0 + i)], z.rows.s[at(j)], c[i], sigma[i], tau[i]);
      }
      work.stack.assign(1, {n, c, sigma.data(), tangent_ ? tau.data() : nullptr});
      for (std::size_t k = 0; k < program_.size(); ++k)
        program_[k]->apply(work, views[k], {.factors = &z.rows.factors[k], .first = j});
      tile_loops().scale(n, tangent_ ? tau.data() : c,
                         {x.rows.norm.data() + i0, z.rows.norm[at(j)]}, c);
    }
  }
  /// The two images in an order of their own, so that k(x, z) and k(z, x) are one number.
  template <class Real>
  static Readout run_pair(PairRun<Real>& run, const ImageRows& x, Index i, const ImageRows& z,
                          Index j) {
    const Index d = x.x.rows();
    const double *p = x.x.column(i), *q = z.x.column(j);
    return std::lexicographical_compare(q, q + d, p, p + d)
               ? run.run(q, z.images[at(j)], p, x.images[at(i)])
               : run.run(p, x.images[at(i)], q, z.images[at(j)]);
  }
  /// A pair's state as tile_loops.hpp has it.
  void normalise(const Readout& pair, double si, double sj, double& c, double& sigma,
                 double& tau) const {
    const double apart = (si - sj) * (si - sj), product = si * sj;
    c = sigma = tau = 0;
    if (!(product > 0)) return;
    const double minus = std::max(0.0, (pair.E - apart) / (2 * product));
    const double plus =
        pixels_.sums ? std::max(0.0, (pair.G - apart) / (2 * product)) : std::max(0.0, 2 - minus);
    c = (plus - minus) / 2;
    sigma = minus * plus;
    tau = pair.T / product;
  }

  std::string out_of_range(const ImageRows& rows, Index i) const {
    const double s = rows.norm[at(i)], k = (tangent_ ? rows.tau[at(i)] * s : s) * s;
    return std::isfinite(rows.s[at(i)]) && std::isfinite(k) ? "" : kTooLarge;
  }

  arch::Architecture architecture_;
  PixelProgram pixels_;
  Program program_;
  std::vector<double> weight_terms_;
  bool tangent_, standard_, homogeneous_, single_;
};

}  // namespace

std::shared_ptr<const Kernel> image_kernel(const arch::Architecture& architecture, bool tangent,
                                           const std::vector<double>& weight_terms, bool single) {
  return std::make_shared<ImageKernel>(architecture, tangent, weight_terms, single);
}

}  // namespace mercer::kernel
