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
                          [](const auto&) {}},
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
    fill_activations();
    choose_offsets();
  }
  PixelProgram result() { return std::move(program_); }

 private:
  Extent extent() const { return {image_.height, image_.width}; }

  void open() {
    program_.stages.push_back({.begin = extent(), .end = extent(), .first = program_.steps.size()});
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
    activations_.push_back(nullptr);
  }

  void add(const arch::Conv& conv) {
    const auto filter = on_image(conv.filter, image_);
    const auto term = next_term(terms_);
    TangentTerms tangent{term.value_or(1), term ? 0.0 : 1.0};
    if (!conv.trained) tangent = {0, 0};
    const arch::Image before = image_;
    image_ = shape_after(conv, image_);
    arch::Conv step = conv;
    const bool leaves = before.height != image_.height || before.width != image_.width;
    if (conv.padding == arch::Padding::circular || !leaves) step.stride = 1;
    push(conv_step(step, filter, architecture_.weight_std, architecture_.bias_std, tangent));
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
    activations_.back() = &rho;
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
    push(pixel_branch());
    program_.sizes.levels = std::max(program_.sizes.levels, ++level_);
    for (const arch::Layer& layer : res.branch)
      std::visit([this](const auto& what) { add(what); }, layer.what);
    --level_;
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
      if (!activations_[k]) continue;
      program_.steps[k] = pixel_activation(*activations_[k], accurate);
      accurate = accurate || activations_[k]->function == arch::Function::rectifier;
    }
  }
  static bool has_angle(std::span<const arch::Layer> layers) {
    return std::ranges::any_of(layers, [](const arch::Layer& layer) {
      return std::visit(arch::Each{[](const arch::Activation& rho) {
                                     return rho.function == arch::Function::rectifier;
                                   },
                                   [](const arch::Residual& res) { return has_angle(res.branch); },
                                   [](const auto&) { return false; }},
                        layer.what);
    });
  }

  /// Back from the readout: which offsets are needed.
  void choose_offsets() {
    auto& stages = program_.stages;
    auto& margin = program_.sizes.margin;
    for (const auto& step : program_.steps) {
      margin.h = std::max(margin.h, step->margin().h);
      margin.w = std::max(margin.w, step->margin().w);
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
      stage.dx = dx;
      measure(stage, k > 0);
    }
  }
  void measure(const Stage& stage, bool held) {
    Index pairs = 0;
    for (const Index y : stage.dy)
      for (const Index x : stage.dx) {
        const Plane plane = plane_at(stage.begin, stage.wrapped, y, x);
        pairs += plane.size();
        program_.sizes.include(plane.h, plane.w);
      }
    if (held) program_.state = std::max(program_.state, pairs);
  }

  const arch::Architecture& architecture_;
  std::span<const double>& terms_;
  arch::Image image_;
  PixelProgram program_;
  std::vector<const arch::Activation*> activations_;
  Ends ends_;
  Index level_ = 1;
  bool mean_ = false, done_ = false;
};

}  // namespace

double PixelProgram::entries() const {
  double all = 0;
  for (const Stage& stage : stages) {
    double pairs = 0;
    for (const Index y : stage.dy)
      for (const Index x : stage.dx)
        pairs += static_cast<double>(plane_at(stage.begin, stage.wrapped, y, x).size());
    all += pairs * static_cast<double>(stage.last - stage.first);
  }
  return all;
}

PixelProgram compile_pixels(const arch::Architecture& architecture,
                            std::span<const double>& weight_terms) {
  return PixelCompiler(architecture, weight_terms).result();
}

}  // namespace mercer::kernel
