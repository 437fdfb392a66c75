#include "mercer/plan/stage.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "mercer/base/error.hpp"

namespace mercer::plan {

Stage stage(std::string name, std::string method, const Cost& cost, const Machine& machine,
            double data) {
  return {.name = std::move(name),
          .method = std::move(method),
          .bytes = data + cost.bytes,
          .flops = cost.flops,
          .seconds = machine.seconds(cost),
          .sent = cost.sent + cost.summed + (machine.network ? cost.network : 0)};
}

double Plan::peak() const {
  double most = 0;
  for (const auto& s : stages_) most = std::max(most, s.bytes);
  return baseline_ + most;
}

double Plan::flops() const {
  double sum = 0;
  for (const auto& s : stages_) sum += s.flops;
  return sum;
}

double Plan::seconds() const {
  double sum = 0;
  for (const auto& s : stages_) sum += s.seconds;
  return sum;
}

double Plan::sent() const {
  double sum = 0;
  for (const auto& s : stages_) sum += s.sent;
  return sum;
}

std::string Plan::text() const {
  const auto line = [&](const std::string& name, const std::string& memory, const auto& flops,
                        const std::string& time, const std::string& method) {
    const auto last = method.empty() ? "" : "   " + method;
    return timed_
               ? fmt::format("  {:<12} {:>14} {:>12} {:>10}{}\n", name, memory, flops, time, last)
               : fmt::format("  {:<12} {:>14} {:>12}{}\n", name, memory, flops, last);
  };
  std::string text = line("stage", "memory a rank", "flops", "time", "method");
  for (const auto& s : stages_)
    text += line(s.name, format_bytes(s.bytes + baseline_), fmt::format("{:.3g}", s.flops),
                 format_seconds(s.seconds), s.method);
  return text + line("peak", format_bytes(peak()), fmt::format("{:.3g}", flops()),
                     format_seconds(seconds()),
                     fmt::format("of it {} before the start", format_bytes(baseline_)));
}

nlohmann::ordered_json Plan::json() const {
  auto rows = nlohmann::ordered_json::array();
  for (const auto& s : stages_)
    rows.push_back({{"name", s.name},
                    {"method", s.method},
                    {"bytes", s.bytes},
                    {"flops", s.flops},
                    {"seconds", s.seconds},
                    {"sent", s.sent}});
  return rows;
}

std::string Plan::excess() const {
  if (peak() <= limit()) return "";
  const auto most = std::ranges::max_element(stages_, {}, &Stage::bytes);
  return fmt::format(
      "the plan needs {} a rank{}, more than the {} {}: use {}", format_bytes(peak()),
      most == stages_.end() ? std::string() : fmt::format(" in its stage '{}'", most->name),
      format_bytes(limit()), limit_.whose, suggestion_);
}

void Plan::require_memory() const {
  if (const auto line = excess(); !line.empty()) throw MemoryError("{}", line);
}

std::string format_seconds(double seconds) {
  const auto shown = [](double value, const char* unit) {
    return fmt::format("{:.{}f} {}", value, value < 9.95 ? 1 : 0, unit);
  };
  if (seconds < 0.9995) return fmt::format("{:.3f} s", seconds);
  if (seconds < 120) return shown(seconds, "s");
  if (seconds < 7200) return shown(seconds / 60, "min");
  if (seconds < 48 * 3600.0) return shown(seconds / 3600, "h");
  if (seconds < 730 * 86400.0) return shown(seconds / 86400, "days");
  return shown(seconds / (365.25 * 86400), "years");
}

}  // namespace mercer::plan
