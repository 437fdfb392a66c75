#include "program.hpp"

#include <algorithm>

namespace mercer::net {
namespace {

/// Whether the sign of rho(z) is that of z, so that it tells rho'(z).
bool sign_tells_slope(const arch::Activation& rho) {
  return rho.function == arch::Function::rectifier && rho.a >= 0 && rho.b > 0;
}

class Compiler {
 public:
  explicit Compiler(const Network& network) : layers_(network.layers()) {
    const arch::Architecture& architecture = network.architecture();
    program_.nodes.push_back({network.inputs(), architecture.image.given()});
    program_.result = sequence(architecture.layers, 0, architecture.image, false);
  }

  Program finish() {
    place_signals();
    place_tangents();
    return std::move(program_);
  }

 private:
  Index node(Index units, bool image) {
    program_.nodes.push_back({units, image});
    return static_cast<Index>(program_.nodes.size()) - 1;
  }
  const Node& at(Index node) const { return program_.nodes[static_cast<std::size_t>(node)]; }
  Index units(Index node) const { return at(node).units; }

  void activate(Step& step, const arch::Activation& rho, bool summed) {
    step.activated = true;
    step.rho = rho;
    if (!summed && sign_tells_slope(rho)) return;  // a sum overwrites the branch's value
    step.slope = static_cast<Index>(program_.slopes.size());
    program_.slopes.push_back(step.out);
  }

  /// Appends the steps of a sequence on node `in`, of images of that shape while they have pixels;
  /// returns the node of its outputs.
  Index sequence(const std::vector<arch::Layer>& layers, Index in, arch::Image image, bool branch) {
    const auto append = [&](Step step) {
      program_.steps.push_back(std::move(step));
      in = program_.steps.back().out;
    };
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto weights = [&] {
        Step step{.in = in, .layer = next_layer_++};
        const WeightLayer& layer = layers_[static_cast<std::size_t>(step.layer)];
        if (layer.conv) image = layer.conv->out;
        step.out = node(layer.outputs(), layer.conv.has_value());
        const auto* rho =
            i + 1 < layers.size() ? std::get_if<arch::Activation>(&layers[i + 1].what) : nullptr;
        if (rho) {
          ++i;
          activate(step, *rho, branch && i + 1 == layers.size());
        }
        append(std::move(step));
      };
      const auto pool = [&](const arch::Window& window, const arch::Image& out) {
        const Pool means{image, out, window};
        image = out;
        append(
            {.kind = Step::Kind::pool, .in = in, .out = node(out.numbers(), true), .pool = means});
      };
      std::visit(
          arch::Each{[&](const arch::Dense&) { weights(); },  //
                     [&](const arch::Conv&) { weights(); },
                     [&](const arch::AveragePool& means) {
                       pool(arch::on_image(means.window, image), arch::shape_after(means, image));
                     },
                     [&](const arch::GlobalAverage&) {
                       pool({image.height, image.width}, {1, 1, image.channels, image.signal});
                     },
                     [](const arch::Flatten&) {},
                     [&](const arch::Activation& rho) {
                       Step step{.kind = Step::Kind::activation,
                                 .in = in,
                                 .out = node(units(in), at(in).image)};
                       activate(step, rho, branch && i + 1 == layers.size());
                       append(std::move(step));
                     },
                     [&](const arch::Residual& residual) {
                       const Index skip = in;
                       append({.kind = Step::Kind::sum,
                               .in = skip,
                               .out = sequence(residual.branch, skip, image, true)});
                     }},
          layers[i].what);
    }
    return in;
  }

  /// A free place for a vector that is needed during a part of a pass; places are reused.
  Index take(Index units) {
    auto& slots = program_.slots;
    for (std::size_t s = 0; s < slots.size(); ++s)
      if (!busy_[s]) {
        busy_[s] = true;
        slots[s] = std::max(slots[s], units);
        return static_cast<Index>(s);
      }
    slots.push_back(units);
    busy_.push_back(true);
    return static_cast<Index>(slots.size()) - 1;
  }
  void release(Index slot) { busy_[static_cast<std::size_t>(slot)] = false; }

  void place_signals() {
    std::vector<Index> at(program_.nodes.size(), -1);
    const auto of = [&](Index node) -> Index& { return at[static_cast<std::size_t>(node)]; };
    of(program_.result) = program_.result_signal = take(units(program_.result));
    for (auto step = program_.steps.rbegin(); step != program_.steps.rend(); ++step) {
      step->signal_out = of(step->out);
      step->adds = of(step->in) >= 0;
      const bool in_place = step->kind == Step::Kind::activation && !step->adds;
      if (in_place)
        of(step->in) = step->signal_out;
      else if (!step->adds && step->in > 0)
        of(step->in) = take(units(step->in));
      step->signal_in = of(step->in);
      if (step->kind != Step::Kind::sum && !in_place) release(step->signal_out);
    }
    busy_.assign(busy_.size(), false);
  }

  void place_tangents() {
    std::vector<Index> at(program_.nodes.size(), -1), uses(program_.nodes.size(), 0);
    const auto of = [&](Index node) -> Index& { return at[static_cast<std::size_t>(node)]; };
    for (const Step& step : program_.steps) ++uses[static_cast<std::size_t>(step.in)];
    for (Step& step : program_.steps) {
      step.tangent_in = of(step.in);
      const bool last = --uses[static_cast<std::size_t>(step.in)] == 0;
      const bool in_place = step.kind == Step::Kind::activation && last;
      if (step.kind != Step::Kind::sum)
        of(step.out) = in_place ? step.tangent_in : take(units(step.out));
      step.tangent_out = of(step.out);
      if (last && !in_place && step.in > 0) release(step.tangent_in);
    }
    program_.result_tangent = of(program_.result);
  }

  const std::vector<WeightLayer>& layers_;
  Program program_;
  std::vector<bool> busy_;
  Index next_layer_ = 0;
};

}  // namespace

Program compile(const Network& network) {
  return Compiler(network).finish();
}

}  // namespace mercer::net
