#include "mercer/arch/architecture.hpp"

#include <fmt/format.h>

#include <span>

namespace mercer::arch {

namespace {

void print(const std::vector<Layer>& layers, std::string& text) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (i > 0) text += ' ';
    const auto& what = layers[i].what;
    if (const auto* dense = std::get_if<Dense>(&what)) {
      std::string list = dense->width > 0 ? std::to_string(dense->width) : "";
      if (!dense->trained) list += list.empty() ? "fixed" : ",fixed";
      text += list.empty() ? "dense" : "dense(" + list + ')';
    } else if (const auto* rho = std::get_if<Activation>(&what)) {
      text += rho->name;
    } else {
      text += "res(";
      print(std::get<Residual>(what).branch, text);
      text += ')';
    }
  }
}

bool all_widths(const std::vector<Layer>& layers) {
  for (const Layer& layer : layers) {
    if (const auto* dense = std::get_if<Dense>(&layer.what); dense && dense->width == 0)
      return false;
    if (const auto* res = std::get_if<Residual>(&layer.what); res && !all_widths(res->branch))
      return false;
  }
  return true;
}

/// Calls change(dense) for every dense layer, those of branches too.
template <class Change>
void each_dense(std::span<Layer> layers, const Change& change) {
  for (Layer& layer : layers) {
    if (auto* dense = std::get_if<Dense>(&layer.what)) change(*dense);
    if (auto* res = std::get_if<Residual>(&layer.what)) each_dense(res->branch, change);
  }
}

}  // namespace

std::string Architecture::text() const {
  std::string text;
  print(layers, text);
  return text;
}

bool Architecture::has_widths() const {
  return all_widths(layers);
}

Architecture Architecture::without_widths() const {
  Architecture result = *this;
  each_dense(result.layers, [](Dense& dense) { dense.width = 0; });
  return result;
}

Architecture Architecture::first_trained() const {
  Architecture result = *this;
  const auto later = std::span(result.layers).subspan(1);  // the first layer is dense
  each_dense(later, [](Dense& dense) { dense.trained = false; });
  return result;
}

Architecture Architecture::all_trained() const {
  Architecture result = *this;
  each_dense(result.layers, [](Dense& dense) { dense.trained = true; });
  return result;
}

Index Architecture::depth() const {
  Index dense = 0;
  for (const Layer& layer : layers) dense += std::holds_alternative<Dense>(layer.what);
  return dense - 1;
}

Architecture fully_connected(Index hidden_layers, std::string_view activation,
                             const Options& options) {
  if (hidden_layers < 0)
    throw InputError("depth {}: the number of hidden layers must be 0 or more", hidden_layers);
  constexpr Index kMost = 100000;  // one entry of the kernel then takes seconds
  if (hidden_layers > kMost)
    throw InputError("depth {}: give at most {} hidden layers", hidden_layers, kMost);
  // Parsed on its own first, so that a message quotes what the user typed.
  const Architecture one = parse(fmt::format("dense {} dense", activation));
  if (one.layers.size() != 3 || !std::holds_alternative<Activation>(one.layers[1].what))
    throw InputError("activation \"{}\": expected one activation, such as relu or erf(1,1)",
                     activation);
  std::string text;
  for (Index l = 0; l < hidden_layers; ++l) text += fmt::format("dense {} ", activation);
  return parse(text + "dense", options);
}

}  // namespace mercer::arch
