#include "pixel_program.hpp"

#include <algorithm>

namespace mercer::kernel {
namespace {

/// What convolutions of a layer, or of a branch, do at the ends of the image.
struct Ends {
  bool circular = false, other = false;  // never both in one branch
};
Ends ends_of(std::span<const arch::Layer> layers) {
  Ends ends;
  for (const arch::Layer& layer : layers)
    std::visit(arch::Each{[&](const arch::Conv& conv) {
                            const bool circular = conv.padding == arch::Padding::circular;
                            (circular ? ends.circular : ends.other) = true;
                          },
                          [&](const arch::Residual& res) {
                            const Ends inner = ends_of(res.branch);
                            ends.circular = ends.circular || inner.circular;
                            ends.other = ends.other || inner.other;
                          },
                          [](const arch::OneOf<arch::Dense, arch::Activation, arch::AveragePool,
                                               arch::Flatten, arch::GlobalAverage> auto&) {}},
               layer.what);
  return ends;
}

class PixelCompiler {
 public:
  PixelCompiler(const arch::Architecture& architecture, std::span<const double>& terms)
      : architecture_(architecture), terms_(terms), image_(architecture.image) {
    open();
    for (const arch::Layer& layer : architecture.layers) {
      ++program_.layers;
      choose_stage(layer);
      std::visit([this](const auto& what) { add(what); }, layer.what);
      if (done_) break;
    }
    program_.mean = mean_;
    close({});
    program_.sums = sums_;
    fill_activations();
    choose_offsets();
  }
  PixelProgram result() { return std::move(program_); }

 private:
  Extent extent() const { return {image_.height, image_.width}; }

  void open() {
    program_.stages.push_back(
        {.begin = extent(), .end = extent(), .first = program_.steps.size(), .sums = sums_});
    ends_ = {};
  }
  void close(const Boundary& boundary) {
    Stage& stage = program_.stages.back();
    stage.last = program_.steps.size();
    stage.boundary = boundary;
    stage.wrapped = ends_.circular;
  }
  /// Planes are wrapped in a whole stage or not at all.
  void choose_stage(const arch::Layer& layer) {
    const Ends ends = ends_of({&layer, 1});
    if ((ends.circular && ends_.other) || (ends.other && ends_.circular)) {
      close({});
      open();
    }
    ends_.circular = ends_.circular || ends.circular;
    ends_.other = ends_.other || ends.other;
  }
  void push(std::unique_ptr<PixelStep> step) {
    program_.steps.push_back(std::move(step));
    activations_.push_back({});
  }
  /// Whether the state is just behind a rectifier, which then adds the convolution's term to T.
  bool behind_rectifier() const {
    return program_.steps.size() > program_.stages.back().first &&
           is_rectifier(activations_.back().rho);
  }
  TangentBefore tangent_before(double term) {
    if (program_.steps.empty() && program_.stages.size() == 1) {
      program_.fills_tangent = false;
      return TangentBefore::zero;
    }
    if (!behind_rectifier()) return TangentBefore::plain;
    activations_.back().kernel_term = term;
    return TangentBefore::added;
  }

  void add(const arch::Conv& conv) {
    const auto filter = on_image(conv.filter, image_);
    // The rest of a filter with same padding is outside the image wherever it stands.
    const arch::Window seen{std::min(filter.f1, 2 * image_.height - 1),
                            std::min(filter.f2, 2 * image_.width - 1)};
    const double taps = static_cast<double>(filter.f1) * static_cast<double>(filter.f2);
    const double weight = architecture_.weight_std * architecture_.weight_std / taps;
    const double bias = architecture_.bias_std * architecture_.bias_std;
    const auto term = next_term(terms_);
    TangentTerms tangent{term.value_or(1), term ? 0.0 : 1.0};
    if (!conv.trained) tangent = {0, 0};
    const arch::Image before = image_;
    image_ = shape_after(conv, image_);
    arch::Conv step = conv;
    const bool leaves = before.height != image_.height || before.width != image_.width;
    if (conv.padding == arch::Padding::circular || !leaves) step.stride = 1;
    push(conv_step(step, seen, weight, bias, tangent, tangent_before(tangent.kernel)));
    Stage& stage = program_.stages.back();
    mean_ = false;
    if (step.stride == conv.stride || !leaves) {
      stage.stride *= step.stride;
      stage.end = extent();
      return;
    }
    stage.end = {before.height, before.width};  // every stride-th pixel of all
    close({1, 1, conv.stride});
    open();
  }
  void add(const arch::Activation& rho) {
    push(nullptr);
    // With K >= 0 before it a rectifier that rises more than it falls keeps that, and means >= 0.
    const bool stays = !sums_ && is_rectifier(&rho) && rho.b >= std::abs(rho.a);
    sums_ = keeps_sums_ || !(is_positive(rho) || stays);
    activations_.back() = {&rho, sums_};
    mean_ = has_mean(rho);
  }
  void add(const arch::AveragePool& pool) {
    const auto window = on_image(pool.window, image_);
    image_ = shape_after(pool, image_);
    close({window.f1, window.f2, 1});
    open();
  }
  void add(const arch::Flatten&) { done_ = true; }
  void add(const arch::GlobalAverage&) { done_ = program_.gap = true; }
  void add(const arch::Residual& res) {
    const bool skip = mean_;
    const Index channels = image_.channels;
    // Skip and branch both have G or both have none.
    const bool keeps = keeps_sums_, needs = sums_ || !is_positive(res.branch);
    push(pixel_branch(needs && !sums_));
    sums_ = keeps_sums_ = needs;
    program_.sizes.levels = std::max(program_.sizes.levels, ++level_);
    for (const arch::Layer& layer : res.branch)
      std::visit([this](const auto& what) { add(what); }, layer.what);
    --level_;
    keeps_sums_ = keeps;
    push(pixel_join(skip && mean_));
    mean_ = skip || mean_;
    if (channels > 0) image_.channels = channels;
  }
  void add(const arch::Dense&) {}  // after flatten or gap

  /// From the last to the first: a smooth activation is computed more accurately where a rectifier
  /// follows it. (In a stage after a pool, to what the pool leaves.)
  void fill_activations() {
    bool accurate = has_angle(std::span(architecture_.layers).subspan(program_.layers));
    for (std::size_t k = program_.steps.size(); k-- > 0;) {
      const auto& [rho, sums, kernel_term] = activations_[k];
      if (rho == nullptr) continue;
      program_.steps[k] = is_rectifier(rho) ? pixel_rectifier(rho->a, rho->b, sums, kernel_term)
                                            : pixel_dual(*rho, accurate);
      accurate = accurate || is_rectifier(rho);
    }
  }
  static bool is_rectifier(const arch::Activation* rho) {
    return rho != nullptr && rho->function == arch::Function::rectifier;
  }
  /// Whether rho >= 0, so that every K is.
  static bool is_positive(const arch::Activation& rho) {
    return is_rectifier(&rho) && rho.a <= 0 && rho.b >= 0;
  }
  static bool is_positive(std::span<const arch::Layer> layers) {
    return std::ranges::all_of(layers, [](const arch::Layer& layer) {
      return std::visit(
          arch::Each{[](const arch::Activation& rho) { return is_positive(rho); },
                     [](const arch::Residual& res) { return is_positive(res.branch); },
                     [](const arch::OneOf<arch::Dense, arch::Conv, arch::AveragePool, arch::Flatten,
                                          arch::GlobalAverage> auto&) { return true; }},
          layer.what);
    });
  }
  static bool has_angle(std::span<const arch::Layer> layers) {
    return std::ranges::any_of(layers, [](const arch::Layer& layer) {
      return std::visit(
          arch::Each{
              [](const arch::Activation& rho) { return rho.function == arch::Function::rectifier; },
              [](const arch::Residual& res) { return has_angle(res.branch); },
              [](const arch::OneOf<arch::Dense, arch::Conv, arch::AveragePool, arch::Flatten,
                                   arch::GlobalAverage> auto&) { return false; }},
          layer.what);
    });
  }

  /// Back from the readout: which offsets are needed.
  void choose_offsets() {
    auto& stages = program_.stages;
    for (const auto& step : program_.steps) {
      program_.sizes.f1 = std::max(program_.sizes.f1, step->filter().f1);
      program_.sizes.f2 = std::max(program_.sizes.f2, step->filter().f2);
      auto& outside = program_.sizes.outside;
      outside = {std::max(outside.h, step->outside().h), std::max(outside.w, step->outside().w)};
    }
    Stage& last = stages.back();
    const auto at_end = [&](Index size) {
      return program_.gap ? all_offsets(size, last.wrapped) : Offsets{0};
    };
    Offsets dy = at_end(last.end.h), dx = at_end(last.end.w);
    for (std::size_t k = stages.size(); k-- > 0;) {
      Stage& stage = stages[k];
      if (k + 1 < stages.size()) {
        const Stage& next = stages[k + 1];
        const auto [f1, f2, stride] = stage.boundary;
        dy = offsets_before(next.dy, next.wrapped, next.begin.h, f1, stride, stage.wrapped,
                            stage.end.h);
        dx = offsets_before(next.dx, next.wrapped, next.begin.w, f2, stride, stage.wrapped,
                            stage.end.w);
      }
      for (Index& d : dy) d *= stage.stride;
      for (Index& d : dx) d *= stage.stride;
      stage.dy = dy;
      stage.dx = in_rows(dx, stage.begin.w);
      if (k + 1 < stages.size()) {
        choose_targets(stage, stages[k + 1]);
        program_.pooled = std::max(program_.pooled, stage.pooled);
      }
      stage.strips = strips_of(stage.begin, stage.wrapped, stage.dy, stage.dx);
      measure(stage, k > 0);
    }
  }
  static void choose_targets(Stage& stage, const Stage& next) {
    const auto [f1, f2, stride] = stage.boundary;
    for (const Index d : stage.dy)
      stage.rows.push_back(targets(d / stage.stride, stage.end.h, stage.wrapped, f1, stride,
                                   next.dy, next.begin.h, next.wrapped));
    for (const Index d : stage.dx)
      stage.columns.push_back(targets(d / stage.stride, stage.end.w, stage.wrapped, f2, stride,
                                      next.dx, next.begin.w, next.wrapped));
    for (const Index D : next.dy) {
      stage.pooled_first.push_back(stage.pooled_rows);
      stage.pooled_rows += next.wrapped ? next.begin.h : next.begin.h - std::abs(D);
    }
    for (const auto& columns : stage.columns)
      stage.pooled += stage.pooled_rows * std::ssize(columns);
  }
  void measure(const Stage& stage, bool held) {
    Index pairs = 0;
    for (const Strip& strip : stage.strips) {
      pairs += strip.size();
      program_.sizes.include(strip);
    }
    if (held) program_.state = std::max(program_.state, pairs);
  }

  const arch::Architecture& architecture_;
  std::span<const double>& terms_;
  arch::Image image_;
  PixelProgram program_;
  struct ActivationStep {
    const arch::Activation* rho = nullptr;
    bool sums = true;
    double kernel_term = 0;
  };
  std::vector<ActivationStep> activations_;  ///< of every step
  bool sums_ = true, keeps_sums_ = false;    ///< whether the state has G, and shall keep it
  Ends ends_;
  Index level_ = 1;
  bool mean_ = false, done_ = false;
};

}  // namespace

double PixelProgram::entries() const {
  double all = 0;
  for (const Stage& stage : stages) {
    double pairs = 0;
    for (const Strip& strip : stage.strips) pairs += static_cast<double>(strip.size());
    all += pairs * static_cast<double>(stage.last - stage.first);
  }
  return all;
}

PixelProgram compile_pixels(const arch::Architecture& architecture,
                            std::span<const double>& weight_terms) {
  return PixelCompiler(architecture, weight_terms).result();
}

}  // namespace mercer::kernel
