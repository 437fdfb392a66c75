#include <charconv>
#include <string>
#include <vector>

#include "mercer/kernel/kernel.hpp"

namespace mercer::kernel {
namespace {

[[noreturn]] void refuse(std::string_view text) {
  throw InputError(
      "kernel \"{}\": cannot be made from its text: give ntk(ARCHITECTURE; weight_std=W; "
      "bias_std=B), nngp(...), gaussian(bandwidth=H), laplace(bandwidth=H) or linear",
      text.substr(0, 200));
}

/// "NAME=NUMBER" -> NUMBER. `whole`: the text that errors quote.
double number(std::string_view whole, std::string_view part, std::string_view name) {
  if (!part.starts_with(name) || part.substr(name.size(), 1) != "=") refuse(whole);
  part.remove_prefix(name.size() + 1);
  double value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error != std::errc{} || end != part.data() + part.size()) refuse(whole);
  return value;
}

/// "a; b; c" -> its parts.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; (end = text.find("; ")) != std::string_view::npos;) {
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end + 2);
  }
  parts.push_back(text);
  return parts;
}

}  // namespace

std::shared_ptr<const Kernel> parse(std::string_view text) {
  Options options;
  if (text == "linear") {
    options.kind = Kind::linear;
    return make(options);
  }
  const auto open = text.find('(');
  if (open == std::string_view::npos || !text.ends_with(')')) refuse(text);
  const auto name = text.substr(0, open);
  auto parts = parts_of(text.substr(open + 1, text.size() - open - 2));
  if (name == "gaussian" || name == "laplace") {
    options.kind = name == "gaussian" ? Kind::gaussian : Kind::laplace;
    if (parts.size() != 1) refuse(text);
    options.bandwidth = number(text, parts[0], "bandwidth");
    return make(options);
  }
  if (name != "ntk" && name != "nngp") refuse(text);
  options.single_state = parts.back() == "state=single";
  if (options.single_state) parts.pop_back();
  options.kind = name == "ntk" ? Kind::ntk : Kind::nngp;
  const bool images = parts.size() > 1 && parts[1].starts_with("image=");
  const std::size_t scales = images ? 2 : 1, end = scales + 2;
  const bool standard = parts.size() == end + 1 && parts[end] == "standard";
  if (parts.size() != end && !standard) refuse(text);
  if (standard) options.parametrization = Parametrization::standard;
  options.architecture =
      arch::parse(parts[0], {.weight_std = number(text, parts[scales], "weight_std"),
                             .bias_std = number(text, parts[scales + 1], "bias_std")});
  if (images) options.architecture = options.architecture.on(arch::parse_image(parts[1].substr(6)));
  return make(options);
}

std::shared_ptr<const Kernel> nngp_of(const Kernel& kernel) {
  std::string text = kernel.text();
  constexpr std::string_view kTangent = "ntk(", kStandard = "; standard";
  if (text.starts_with("nngp(")) return parse(text);
  if (!text.starts_with(kTangent)) return nullptr;
  text.replace(0, kTangent.size(), "nngp(");
  if (const auto at = text.rfind(kStandard); at != std::string::npos)
    text.erase(at, kStandard.size());
  return parse(text);
}

}  // namespace mercer::kernel
