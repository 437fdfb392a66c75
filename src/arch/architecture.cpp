#include "mercer/arch/architecture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <type_traits>
#include <utility>

#include "token_error.hpp"

namespace mercer::arch {

namespace {

/// "(a,b,...)" of the parts that are not empty; nothing where all are.
std::string list_of(std::initializer_list<std::string> parts) {
  std::string list;
  for (const auto& part : parts)
    if (!part.empty()) list += list.empty() ? part : ',' + part;
  return list.empty() ? list : fmt::format("({})", list);
}

std::string width_text(Index width) {
  return width > 0 ? std::to_string(width) : "";
}

std::string window_text(const Window& w) {
  return w.f2 == 0 || w.f2 == w.f1 ? std::to_string(w.f1) : fmt::format("{}x{}", w.f1, w.f2);
}

std::string padding_text(Padding padding) {
  switch (padding) {
    case Padding::same:
      break;
    case Padding::valid:
      return "pad=valid";
    case Padding::circular:
      return "pad=circular";
  }
  return "";
}

std::string text_of(const std::vector<Layer>& layers);

std::string text_of(const Layer& layer) {
  const auto fixed = [](bool trained) { return std::string(trained ? "" : "fixed"); };
  return std::visit(
      Each{
          [&](const Dense& dense) {
            return fmt::format("dense{}", list_of({width_text(dense.width), fixed(dense.trained)}));
          },
          [&](const Conv& conv) {
            return "conv" + list_of({window_text(conv.filter), width_text(conv.channels),
                                     padding_text(conv.padding),
                                     conv.stride > 1 ? fmt::format("stride={}", conv.stride) : "",
                                     fixed(conv.trained)});
          },
          [](const Activation& rho) { return rho.name; },
          [](const AveragePool& pool) {
            return fmt::format("avgpool({})", window_text(pool.window));
          },
          [](const Flatten&) { return std::string("flatten"); },
          [](const GlobalAverage&) { return std::string("gap"); },
          [](const Residual& res) { return fmt::format("res({})", text_of(res.branch)); }},
      layer.what);
}

std::string text_of(const std::vector<Layer>& layers) {
  std::string text;
  for (const Layer& layer : layers) {
    if (!text.empty()) text += ' ';
    text += text_of(layer);
  }
  return text;
}

/// Calls visit(width, trained) for every layer of weights, those of branches too.
template <class Layers, class Visit>
void each_of_weights(Layers& layers, const Visit& visit) {
  for (auto& layer : layers)
    std::visit(
        Each{[&](OneOf<Dense, const Dense> auto& dense) { visit(dense.width, dense.trained); },
             [&](OneOf<Conv, const Conv> auto& conv) { visit(conv.channels, conv.trained); },
             [&](OneOf<Residual, const Residual> auto& res) { each_of_weights(res.branch, visit); },
             [](const OneOf<Activation, AveragePool, Flatten, GlobalAverage> auto&) {}},
        layer.what);
}

bool has_convolution(const Layer& layer) {
  return std::visit(
      Each{[](const Conv&) { return true; },
           [](const Residual& res) { return std::ranges::any_of(res.branch, has_convolution); },
           [](const OneOf<Dense, Activation, AveragePool, Flatten, GlobalAverage> auto&) {
             return false;
           }},
      layer.what);
}

std::string shape_text(const Image& image) {
  return image.signal ? fmt::format("{}", image.height)
                      : fmt::format("{} x {}", image.height, image.width);
}

/// Walks the layers over the images that they see.
struct ShapeCheck {
  const std::string& source;

  [[noreturn]] void fail(const Layer& layer, std::string_view what) const {
    fail_at(source, layer.position, layer.token, what);
  }
  Image after(const std::vector<Layer>& layers, Image image) const {
    for (const Layer& layer : layers) image = after(layer, image);
    return image;
  }
  Image after(const Layer& layer, const Image& image) const {
    const auto checked = [&](const auto& what) {
      try {
        return shape_after(what, image);
      } catch (const InputError& error) {
        fail(layer, error.what());
      }
    };
    const auto one_pixel = [&](Index channels) { return Image{1, 1, channels, image.signal}; };
    return std::visit(
        Each{[&](const Dense& dense) { return one_pixel(dense.width); },
             [&](const Conv& conv) { return checked(conv); },
             [&](const AveragePool& pool) { return checked(pool); },
             [&](const Activation&) { return image; },
             [&](const Flatten&) { return one_pixel(image.numbers()); },
             [&](const GlobalAverage&) { return one_pixel(image.channels); },
             [&](const Residual& res) {
               const Image branch = after(res.branch, image);
               if (branch.height != image.height || branch.width != image.width)
                 fail(layer, fmt::format("this res( ) adds {} pixels to {}: the shapes must agree",
                                         shape_text(branch), shape_text(image)));
               return image.channels > 0 ? image : branch;
             }},
        layer.what);
  }
};

Index divided(Index size, Index window) {
  return window > 0 && size % window == 0 ? size / window : 0;
}

}  // namespace

std::string Image::text() const {
  return signal ? fmt::format("{}x{}", height, channels)
                : fmt::format("{}x{}x{}", height, width, channels);
}

/// Of an image, and of its channels.
static constexpr Index kMostSide = 1'000'000;

Image parse_image(std::string_view text) {
  std::vector<Index> sizes;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('x', begin), text.size());
    Index size = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, size);
    if (error != std::errc() || stop != text.data() + end || size < 1 || size > kMostSide) {
      sizes.clear();
      break;
    }
    sizes.push_back(size);
    begin = end + 1;
  }
  if (sizes.size() == 2) return {sizes[0], 1, sizes[1], true};
  if (sizes.size() == 3) return {sizes[0], sizes[1], sizes[2], false};
  throw InputError(
      "image \"{}\": give height x width x channels, such as 32x32x3, or of signals length x "
      "channels, such as 128x1",
      text);
}

Window on_image(const Window& window, const Image& image) {
  if (window.f2 == 0) return {window.f1, image.signal ? 1 : window.f1};
  if (image.signal && window.f2 != 1) throw InputError("signals take one number: {}", window.f1);
  return window;
}

Image shape_after(const Conv& conv, const Image& image) {
  const auto [f1, f2] = on_image(conv.filter, image);
  const bool valid = conv.padding == Padding::valid;
  if (!valid && (f1 % 2 == 0 || f2 % 2 == 0))
    throw InputError("a filter with an even size has no centre: give an odd one, or pad=valid");
  if (conv.padding != Padding::same && (f1 > image.height || f2 > image.width))
    throw InputError("the filter is larger than the image, {}", shape_text(image));
  const auto size = [&](Index all, Index f) {
    return ceil_div(valid ? all - f + 1 : all, conv.stride);
  };
  const Image after{size(image.height, f1), size(image.width, f2), conv.channels, image.signal};
  const auto product = [](Index a, Index b, Index c) {
    return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
  };
  constexpr double kMost = 9e15;  // products with a few of these stay in range
  if (product(f1, f2, image.channels) > kMost ||
      product(after.height, after.width, after.channels) > kMost)
    throw InputError("it has too many units, or weights of one unit, for 64-bit sizes");
  return after;
}

Image shape_after(const AveragePool& pool, const Image& image) {
  const auto [f1, f2] = on_image(pool.window, image);
  const Image after{divided(image.height, f1), divided(image.width, f2), image.channels,
                    image.signal};
  if (after.pixels() == 0)
    throw InputError("the windows do not divide the image, {}", shape_text(image));
  return after;
}

bool has_weights(const Layer& layer) {
  return std::visit(
      Each{[](const OneOf<Dense, Conv> auto&) { return true; },
           [](const OneOf<Activation, AveragePool, Flatten, GlobalAverage, Residual> auto&) {
             return false;
           }},
      layer.what);
}

std::string Architecture::text() const {
  return text_of(layers);
}

bool Architecture::of_images() const {
  return std::ranges::any_of(layers, has_convolution);
}

Architecture Architecture::on(const Image& of_rows) const {
  Architecture result = *this;
  result.image = {};
  if (!of_images()) return result;
  if (!of_rows.given())
    fail_at(source, layers.front().position, layers.front().token,
            "the shape of the images is not known: give `image`, height x width x channels");
  const auto possible = [](Index size) { return size >= 1 && size <= kMostSide; };
  if (!possible(of_rows.height) || !possible(of_rows.width) || !possible(of_rows.channels) ||
      (of_rows.signal && of_rows.width != 1))
    throw InputError("`image` {} x {} x {}{}: give sizes of 1 to {}, of a signal a width of 1",
                     of_rows.height, of_rows.width, of_rows.channels,
                     of_rows.signal ? ", a signal" : "", kMostSide);
  static_cast<void>(ShapeCheck{source}.after(layers, of_rows));
  result.image = of_rows;
  return result;
}

bool Architecture::has_widths() const {
  bool all = true;
  each_of_weights(layers, [&](Index width, bool) { all = all && width > 0; });
  return all;
}

Architecture Architecture::with_width(Index width) const {
  Architecture result = *this;
  each_of_weights(result.layers, [width](Index& of_layer, bool) { of_layer = width; });
  return result;
}

Architecture Architecture::first_trained() const {
  Architecture result = *this;
  bool first = true;
  each_of_weights(result.layers, [&](Index, bool& trained) {
    const bool keep = std::exchange(first, false);
    trained = trained && keep;
  });
  return result;
}

Architecture Architecture::all_trained() const {
  Architecture result = *this;
  each_of_weights(result.layers, [](Index, bool& trained) { trained = true; });
  return result;
}

Index Architecture::depth() const {
  return std::ranges::count_if(layers, has_weights) - 1;
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
