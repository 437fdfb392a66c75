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

/// Whether the units have a mean after these layers.
bool mean_after(const std::vector<arch::Layer>& layers, bool mean) {
  for (const arch::Layer& layer : layers) {
    if (std::holds_alternative<arch::Dense>(layer.what))
      mean = false;
    else if (const auto* rho = std::get_if<arch::Activation>(&layer.what))
      mean = has_mean(*rho);
    else
      mean = mean_after(std::get<arch::Residual>(layer.what).branch, mean) || mean;
  }
  return mean;
}

/// Appends the steps of the layers. `mean`: whether the units have a mean before them. `terms`: the
/// weight terms of the dense layers still to come (standard parametrisation); empty otherwise.
void append(const std::vector<arch::Layer>& layers, const arch::Architecture& architecture,
            bool mean, std::span<const double>& terms, Program& program,
            std::vector<const arch::Activation*>& activations) {
  for (const arch::Layer& layer : layers) {
    if (const auto* dense = std::get_if<arch::Dense>(&layer.what)) {
      std::optional<double> term;
      if (!terms.empty()) {
        term = terms.front();
        terms = terms.subspan(1);
      }
      if (!dense->trained) term = 0;
      program.push_back(dense_step(architecture.weight_std, architecture.bias_std, term));
    } else if (const auto* rho = std::get_if<arch::Activation>(&layer.what)) {
      activations.resize(program.size() + 1);
      activations[program.size()] = rho;
      program.push_back(nullptr);  // compile() fills it in, from the last to the first
    } else {
      const auto& branch = std::get<arch::Residual>(layer.what).branch;
      program.push_back(branch_step());
      append(branch, architecture, mean, terms, program, activations);
      program.push_back(join_step(mean && mean_after(branch, mean)));
    }
    mean = mean_after({layer}, mean);
  }
}

Index count_dense(const std::vector<arch::Layer>& layers) {
  Index count = 0;
  for (const arch::Layer& layer : layers) {
    if (std::holds_alternative<arch::Dense>(layer.what)) ++count;
    if (const auto* res = std::get_if<arch::Residual>(&layer.what))
      count += count_dense(res->branch);
  }
  return count;
}

/// Appends the names of the steps, in the order of append(). `dense`: how many of the `all` dense
/// layers came before.
void append_names(const std::vector<arch::Layer>& layers, Index all, Index& dense,
                  std::vector<std::string>& names) {
  const auto after = [&](const std::string& what) {
    names.push_back(fmt::format("the {} after dense layer {} of {}", what, dense, all));
  };
  for (const arch::Layer& layer : layers) {
    if (std::holds_alternative<arch::Dense>(layer.what)) {
      names.push_back(fmt::format("dense layer {} of {}", ++dense, all));
    } else if (const auto* rho = std::get_if<arch::Activation>(&layer.what)) {
      after(rho->name);
    } else {
      after("residual branch");
      append_names(std::get<arch::Residual>(layer.what).branch, all, dense, names);
      after("residual sum");
    }
  }
}

/// Appends the fan-in of each dense layer of the sequence, 0 where the text gives no width, and
/// whether it is trained; returns the width after the sequence.
Index append_fan_in(const std::vector<arch::Layer>& layers, Index width, std::vector<Index>& fan_in,
                    std::vector<bool>& trained) {
  for (const arch::Layer& layer : layers) {
    if (const auto* dense = std::get_if<arch::Dense>(&layer.what)) {
      fan_in.push_back(width);
      trained.push_back(dense->trained);
      width = dense->width;
    } else if (const auto* res = std::get_if<arch::Residual>(&layer.what)) {
      const Index sum = append_fan_in(res->branch, width, fan_in, trained);
      if (width == 0) width = sum;
    }
  }
  return width;
}

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
  std::vector<Index> fan_in;
  std::vector<bool> trained;
  append_fan_in(architecture.layers, 0, fan_in, trained);
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
  const bool some = std::ranges::any_of(hidden, [](Index w) { return w > 0; });
  if (some && std::ranges::find(hidden, 0) != hidden.end())
    throw InputError(
        "architecture \"{}\": in the standard parametrisation the hidden widths matter: give all "
        "of them, or none where they are equal",
        architecture.text());
  const double W2 = architecture.weight_std * architecture.weight_std;
  std::vector<double> terms{0.0};
  for (const Index w : hidden)
    terms.push_back(some ? static_cast<double>(w) / static_cast<double>(hidden.back()) / W2
                         : 1 / W2);
  return terms;
}

std::vector<std::string> step_names(const arch::Architecture& architecture) {
  std::vector<std::string> names;
  Index dense = 0;
  append_names(architecture.layers, count_dense(architecture.layers), dense, names);
  return names;
}

Program compile(const arch::Architecture& architecture, const std::vector<double>& weight_terms) {
  Program program;
  std::vector<const arch::Activation*> activations;
  std::span<const double> terms(weight_terms);
  append(architecture.layers, architecture, false, terms, program, activations);
  activations.resize(program.size());
  bool accurate = false;
  for (std::size_t k = program.size(); k-- > 0;) {
    if (activations[k]) program[k] = activation_step(*activations[k], accurate);
    accurate = accurate || program[k]->has_angle();
  }
  return program;
}

}  // namespace mercer::kernel
