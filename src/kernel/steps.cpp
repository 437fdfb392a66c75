#include "steps.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

namespace mercer::kernel {

namespace {

/// K <- sigma_w^2 K + sigma_b^2; T <- K_new + sigma_w^2 T, or, in the standard parametrisation,
/// T <- sigma_w^2 (term K_old + T); of a fixed layer in both T <- sigma_w^2 T.
class DenseStep : public Step {
 public:
  DenseStep(double weight_std, double bias_std, std::optional<double> weight_term)
      : W_(weight_std), b_(bias_std), term_(weight_term) {}

  Factors prepare(std::vector<RowState>& stack) const override {
    RowState& rows = stack.back();
    const std::size_t m = rows.s.size();
    Factors f;
    if (b_ > 0) f.of.assign(2, std::vector<double>(m));
    for (std::size_t i = 0; i < m; ++i) {
      const double weighted = W_ * rows.s[i], s = std::hypot(weighted, b_);
      const double alpha = s > 0 ? weighted / s : 1;
      if (b_ > 0) {
        f.of[0][i] = alpha;
        f.of[1][i] = b_ / s;
      }
      rows.s[i] = s;
      rows.mean[i] = 0;
      rows.tau[i] =
          term_ ? alpha * alpha * (*term_ + rows.tau[i]) : 1 + alpha * alpha * rows.tau[i];
    }
    return f;
  }
  void apply(Work& work, const RowView& rows, const RowView& row_j) const override {
    if (term_)
      apply_standard(work.top(), rows, row_j);
    else if (b_ > 0)
      tile_loops().dense_bias(work.top(), factor(rows, row_j, 0), factor(rows, row_j, 1));
    else
      tile_loops().dense(work.top());
  }
  Index doubles_per_row() const override { return b_ > 0 ? 2 : 0; }

 private:
  void apply_standard(const Segment& s, const RowView& rows, const RowView& row_j) const {
    const double term = *term_;
    for (Index i = 0; s.tau && i < s.n; ++i) s.tau[i] += term * s.c[i];
    if (!(b_ > 0)) return;
    const Factor alpha = factor(rows, row_j, 0);
    for (Index i = 0; s.tau && i < s.n; ++i) s.tau[i] *= alpha.i[i] * alpha.j;
    tile_loops().dense_bias({s.n, s.c, s.sigma, nullptr}, alpha, factor(rows, row_j, 1));
  }
  double W_, b_;
  std::optional<double> term_;
};

/// a min(x, 0) + b max(x, 0). It is homogeneous: c' depends on c alone, not on the rows' norms.
class RectifierStep : public Step {
 public:
  RectifierStep(double a, double b)
      : kappa_((a - b) * (a - b) / (a * a + b * b)),
        ratio_(std::sqrt((a * a + b * b) / 2)),
        mean_((b - a) / std::sqrt(std::numbers::pi * (a * a + b * b))) {}

  Factors prepare(std::vector<RowState>& stack) const override {
    RowState& rows = stack.back();
    for (double& s : rows.s) s *= ratio_;
    std::fill(rows.mean.begin(), rows.mean.end(), mean_);
    return {};
  }
  void apply(Work& work, const RowView&, const RowView&) const override {
    tile_loops().rectifier(work.top(), kappa_);
  }
  Index doubles_per_row() const override { return 0; }
  bool has_angle() const override { return true; }

 private:
  double kappa_, ratio_, mean_;
};

class BranchStep : public Step {
 public:
  Factors prepare(std::vector<RowState>& stack) const override {
    stack.push_back(RowState(stack.back()));
    return {};
  }
  void apply(Work& work, const RowView&, const RowView&) const override {
    const std::size_t level = work.stack.size();
    const Segment from = work.top();
    while (work.buffers.size() < 3 * (level + 1)) work.buffers.emplace_back();
    double* copies[3] = {};
    const double* sources[3] = {from.c, from.sigma, from.tau};
    for (std::size_t k = 0; k < 3; ++k) {
      if (!sources[k]) continue;
      RawVector<double>& buffer = work.buffers[3 * level + k];
      buffer.assign(sources[k], sources[k] + from.n);
      copies[k] = buffer.data();
    }
    work.stack.push_back({from.n, copies[0], copies[1], copies[2]});
  }
  Index doubles_per_row() const override { return 0; }
};

/// K += K_b + mu mu_b^T + mu_b mu^T, T += T_b: the direct sum of skip and branch.
class JoinStep : public Step {
 public:
  explicit JoinStep(bool means) : means_(means) {}

  Factors prepare(std::vector<RowState>& stack) const override {
    const RowState branch = std::move(stack.back());
    stack.pop_back();
    RowState& skip = stack.back();
    const std::size_t m = skip.s.size();
    Factors f;
    f.of.assign(means_ ? 7 : 2, std::vector<double>(m));
    for (std::size_t i = 0; i < m; ++i) {
      const double scale = std::max(skip.s[i], branch.s[i]);
      double ws = scale > 0 ? skip.s[i] / scale : 1, wb = scale > 0 ? branch.s[i] / scale : 0;
      const double ns = skip.mean[i], nb = branch.mean[i];
      const double length = std::sqrt(ws * ws + wb * wb + (means_ ? 2 * ws * ns * wb * nb : 0));
      ws /= length;
      wb /= length;
      f.of[0][i] = ws;
      f.of[1][i] = wb;
      const double mean = ws * ns + wb * nb;
      if (means_) {
        f.of[2][i] = ns;
        f.of[3][i] = nb;
        f.of[4][i] = ws * std::sqrt(std::max(0.0, (1 - ns) * (1 + ns)));
        f.of[5][i] = wb * std::sqrt(std::max(0.0, (1 - nb) * (1 + nb)));
        f.of[6][i] = mean;
      }
      skip.s[i] = scale * length;
      skip.mean[i] = mean;
      skip.tau[i] = ws * ws * skip.tau[i] + wb * wb * branch.tau[i];
    }
    return f;
  }
  void apply(Work& work, const RowView& rows, const RowView& row_j) const override {
    const Segment branch = work.top();
    work.stack.pop_back();
    JoinFactors f{};
    f.skip = factor(rows, row_j, 0);
    f.branch = factor(rows, row_j, 1);
    if (!means_) {
      tile_loops().join(work.top(), branch, f);
      return;
    }
    f.skip_mean = factor(rows, row_j, 2);
    f.branch_mean = factor(rows, row_j, 3);
    f.skip_centred = factor(rows, row_j, 4);
    f.branch_centred = factor(rows, row_j, 5);
    f.mean = factor(rows, row_j, 6);
    tile_loops().join_means(work.top(), branch, f);
  }
  Index doubles_per_row() const override { return means_ ? 7 : 2; }

 private:
  bool means_;
};

}  // namespace

bool has_mean(const arch::Activation& rho) {
  switch (rho.function) {
    case arch::Function::rectifier:
      return rho.a != rho.b;
    case arch::Function::sin:
      return rho.c != 0;
    case arch::Function::erf:
    case arch::Function::tanh:
      return false;
    case arch::Function::gelu:
    case arch::Function::softplus:
    case arch::Function::sigmoid:
      break;
  }
  return true;
}

std::optional<double> next_term(std::span<const double>& terms) {
  if (terms.empty()) return {};
  const double term = terms.front();
  terms = terms.subspan(1);
  return term;
}

namespace {

/// Makes the steps of layers on rows.
struct Compiler {
  const arch::Architecture& architecture;
  std::span<const double> terms;  ///< of the layers of weights still to come; else empty
  bool mean = false;              ///< whether the units have a mean
  Program program{};
  std::vector<const arch::Activation*> activations{};  ///< of the steps that are one

  void append(std::span<const arch::Layer> layers) {
    for (const arch::Layer& layer : layers)
      std::visit([this](const auto& what) { add(what); }, layer.what);
  }

 private:
  void add(const arch::Dense& dense) {
    auto term = next_term(terms);
    if (!dense.trained) term = 0;
    program.push_back(dense_step(architecture.weight_std, architecture.bias_std, term));
    mean = false;
  }
  void add(const arch::Activation& rho) {
    activations.resize(program.size() + 1);
    activations[program.size()] = &rho;
    program.push_back(nullptr);  // compile() fills it in, from the last to the first
    mean = has_mean(rho);
  }
  void add(const arch::Residual& res) {
    const bool skip = mean;
    program.push_back(branch_step());
    append(res.branch);
    program.push_back(join_step(skip && mean));
    mean = skip || mean;
  }
  // Layers on pixels: pixel_program.cpp.
  void add(const arch::Conv&) {}
  void add(const arch::AveragePool&) {}
  void add(const arch::Flatten&) {}
  void add(const arch::GlobalAverage&) {}
};

Index count_of_weights(std::span<const arch::Layer> layers) {
  Index count = 0;
  for (const arch::Layer& layer : layers)
    count += std::visit(
        arch::Each{[](const arch::OneOf<arch::Dense, arch::Conv> auto&) { return Index{1}; },
                   [](const arch::Residual& res) { return count_of_weights(res.branch); },
                   [](const arch::OneOf<arch::Activation, arch::AveragePool, arch::Flatten,
                                        arch::GlobalAverage> auto&) { return Index{0}; }},
        layer.what);
  return count;
}

/// Appends the names of the steps, in the order of Compiler. `dense`: how many of the `all` layers
/// of weights came before.
void append_names(std::span<const arch::Layer> layers, Index all, Index& dense,
                  std::vector<std::string>& names) {
  const auto after = [&](const std::string& what) {
    names.push_back(fmt::format("the {} after dense layer {} of {}", what, dense, all));
  };
  for (const arch::Layer& layer : layers)
    std::visit(arch::Each{[&](const arch::Dense&) {
                            names.push_back(fmt::format("dense layer {} of {}", ++dense, all));
                          },
                          [&](const arch::Activation& rho) { after(rho.name); },
                          [&](const arch::Residual& res) {
                            after("residual branch");
                            append_names(res.branch, all, dense, names);
                            after("residual sum");
                          },
                          [](const arch::OneOf<arch::Conv, arch::AveragePool, arch::Flatten,
                                               arch::GlobalAverage> auto&) {}},
               layer.what);
}

/// The fan-in of each layer of weights, 0 where the text gives no width, and whether it is trained.
struct FanIns {
  arch::Image image;  ///< seen by the next layer; a row is one pixel
  std::vector<Index> fan_in{};
  std::vector<bool> trained{};

  void append(const std::vector<arch::Layer>& layers) {
    for (const arch::Layer& layer : layers)
      std::visit(
          arch::Each{[this](const arch::Dense& dense) {
                       add(image.channels, dense.trained);
                       image.channels = dense.width;
                     },
                     [this](const arch::Conv& conv) {
                       const auto filter = on_image(conv.filter, image);
                       add(image.channels * filter.f1 * filter.f2, conv.trained);
                       image = shape_after(conv, image);
                     },
                     [this](const arch::AveragePool& pool) { image = shape_after(pool, image); },
                     [this](const arch::Flatten&) {
                       image = {1, 1, image.numbers(), image.signal};
                     },
                     [this](const arch::GlobalAverage&) {
                       image = {1, 1, image.channels, image.signal};
                     },
                     [](const arch::Activation&) {},
                     [this](const arch::Residual& res) {
                       const Index channels = image.channels;
                       append(res.branch);
                       if (channels > 0) image.channels = channels;
                     }},
          layer.what);
  }

 private:
  void add(Index count, bool is_trained) {
    fan_in.push_back(count);
    trained.push_back(is_trained);
  }
};

}  // namespace

std::unique_ptr<Step> dense_step(double weight_std, double bias_std,
                                 std::optional<double> weight_term) {
  return std::make_unique<DenseStep>(weight_std, bias_std, weight_term);
}
std::unique_ptr<Step> branch_step() {
  return std::make_unique<BranchStep>();
}
std::unique_ptr<Step> join_step(bool means) {
  return std::make_unique<JoinStep>(means);
}
std::unique_ptr<Step> activation_step(const arch::Activation& rho, bool accurate) {
  if (rho.function == arch::Function::rectifier)
    return std::make_unique<RectifierStep>(rho.a, rho.b);
  return smooth_step(rho, accurate);
}

std::vector<double> standard_weight_terms(const arch::Architecture& architecture) {
  const auto fan_ins = [&](const arch::Architecture& of) {
    FanIns result{.image = of.image.given() ? of.image : arch::Image{1, 1, 0}};
    result.append(of.layers);
    return result;
  };
  auto of = fan_ins(architecture);
  if (std::all_of(of.fan_in.begin() + 1, of.fan_in.end(), [](Index w) { return w == 0; }))
    of = fan_ins(architecture.with_width(1));
  const auto& [image, fan_in, trained] = of;
  if (fan_in.size() < 2)
    throw InputError(
        "architecture \"{}\": in the standard parametrisation the kernel is a limit over the "
        "hidden width, but there is no hidden layer",
        architecture.text());
  if (std::find(trained.begin() + 1, trained.end(), true) == trained.end())
    throw InputError(
        "architecture \"{}\": in the standard parametrisation the first layer adds nothing to the "
        "kernel of a wide network, and all others are fixed: train another layer, or use the NTK "
        "parametrisation",
        architecture.text());
  const std::span<const Index> hidden(fan_in.begin() + 1, fan_in.end());
  if (std::ranges::find(hidden, 0) != hidden.end())
    throw InputError(
        "architecture \"{}\": in the standard parametrisation the hidden widths matter: give all "
        "of them, or none where they are equal",
        architecture.text());
  const double W2 = architecture.weight_std * architecture.weight_std;
  std::vector<double> terms{0.0};
  for (const Index w : hidden)
    terms.push_back(static_cast<double>(w) / static_cast<double>(hidden.back()) / W2);
  return terms;
}

std::vector<std::string> step_names(std::span<const arch::Layer> rows,
                                    const arch::Architecture& architecture) {
  std::vector<std::string> names;
  const Index all = count_of_weights(architecture.layers);
  Index before = all - count_of_weights(rows);
  append_names(rows, all, before, names);
  return names;
}

Program compile(std::span<const arch::Layer> rows, const arch::Architecture& architecture,
                bool mean, std::span<const double> weight_terms) {
  Compiler compiler{architecture, weight_terms, mean};
  compiler.append(rows);
  auto& [of, terms, after, program, activations] = compiler;
  activations.resize(program.size());
  bool accurate = false;
  for (std::size_t k = program.size(); k-- > 0;) {
    if (activations[k]) program[k] = activation_step(*activations[k], accurate);
    accurate = accurate || program[k]->has_angle();
  }
  return std::move(program);
}

}  // namespace mercer::kernel
