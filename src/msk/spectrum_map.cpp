#include "mercer/msk/spectrum_map.hpp"

#include <muParser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <optional>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/base/file.hpp"

namespace mercer::msk {
namespace {

/// The arguments of g, by the names that expressions use.
struct Mode {
  double l = 1;   // lambda_i
  double lk = 1;  // lambda_(k+1)
  double l1 = 1;  // lambda_1
  double i = 1;
};
using Function = std::function<double(const Mode&)>;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<double> number(std::string_view text) {
  text = trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

double parameter(std::string_view name, std::string_view text) {
  const auto value = number(text);
  if (!value || !std::isfinite(*value))
    throw InputError("g = {}:{}: what follows the colon must be a finite number", name, text);
  return *value;
}

/// muParser reads the variables at their addresses, so an Expression must not be moved.
class Expression {
 public:
  explicit Expression(const std::string& text) try {
    parser_.DefineVar("l", &mode_.l);
    parser_.DefineVar("lk", &mode_.lk);
    parser_.DefineVar("l1", &mode_.l1);
    parser_.DefineVar("i", &mode_.i);
    parser_.SetExpr(text);
    int results = 0;
    parser_.Eval(results);
    if (results != 1)
      throw InputError("g = \"{}\" has {} values, separated by commas: one is wanted", text,
                       results);
  } catch (const mu::Parser::exception_type& error) {
    throw InputError(
        "g = \"{}\" does not parse: {} (counted from 0). Known are flat, flat:c, identity, "
        "power:p, inverse, table:FILE, or an expression in l, lk, l1 and i",
        text, error.GetMsg());
  }
  double operator()(const Mode& mode) {
    mode_ = mode;
    return parser_.Eval();
  }

 private:
  Mode mode_;
  mu::Parser parser_;
};

/// muParser takes "l = 2" as an assignment to l; in a g that is a mistake.
void refuse_assignment(const std::string& text) {
  for (std::size_t at = text.find('='); at != std::string::npos; at = text.find('=', at + 1)) {
    const bool compares =
        (at + 1 < text.size() && text[at + 1] == '=') ||
        (at > 0 && std::string_view("=<>!").find(text[at - 1]) != std::string_view::npos);
    if (!compares)
      throw InputError(
          "g = \"{}\": '=' at character {} assigns; write the value of g alone, == to compare",
          text, at + 1);
  }
}

struct Table {
  std::vector<double> log_lambda;  // increasing
  std::vector<double> g;

  double operator()(const Mode& mode) const {
    const double x = std::log(mode.l);
    const auto above = std::upper_bound(log_lambda.begin(), log_lambda.end(), x);
    if (above == log_lambda.begin()) return g.front();
    if (above == log_lambda.end()) return g.back();
    const auto b = static_cast<std::size_t>(above - log_lambda.begin());
    const double t = (x - log_lambda[b - 1]) / (log_lambda[b] - log_lambda[b - 1]);
    return (1 - t) * g[b - 1] + t * g[b];
  }
};

Table read_table(const std::string& file) {
  require_file(file, "g = table:" + file);
  std::ifstream in(file);
  Table table;
  std::string line;
  for (int row = 1; std::getline(in, line); ++row) {
    const std::string_view text = trim(line);
    if (text.empty() || text.front() == '#') continue;
    const auto comma = text.find(',');
    const auto lambda = number(text.substr(0, comma));
    if (!lambda && table.g.empty() && row == 1 && comma != std::string_view::npos)
      continue;  // header
    const auto g = comma == std::string_view::npos ? std::nullopt : number(text.substr(comma + 1));
    if (!lambda || !g)
      throw InputError("g = table:{}, line {}: two numbers lambda,g are wanted, not \"{}\"", file,
                       row, text);
    if (!(*lambda > 0) || !std::isfinite(*lambda) || !std::isfinite(*g))
      throw InputError("g = table:{}, line {}: lambda must be positive and both finite, not \"{}\"",
                       file, row, text);
    table.log_lambda.push_back(std::log(*lambda));
    table.g.push_back(*g);
  }
  if (in.bad() || table.g.empty()) throw InputError("g = table:{}: no line lambda,g in it", file);
  if (table.log_lambda.front() > table.log_lambda.back()) {  // spectra are listed descending
    std::reverse(table.log_lambda.begin(), table.log_lambda.end());
    std::reverse(table.g.begin(), table.g.end());
  }
  for (std::size_t b = 1; b < table.g.size(); ++b)
    if (!(table.log_lambda[b] > table.log_lambda[b - 1]))
      throw InputError("g = table:{}: lambda must be strictly increasing or strictly decreasing",
                       file);
  return table;
}

}  // namespace

struct SpectrumMap::Map {
  std::string text;
  /// Makes a new function for each use, because the function of an expression has a state.
  std::function<Function()> function;
};

SpectrumMap::SpectrumMap(std::unique_ptr<Map> map) : map_(std::move(map)) {}
SpectrumMap::SpectrumMap(SpectrumMap&&) noexcept = default;
SpectrumMap& SpectrumMap::operator=(SpectrumMap&&) noexcept = default;
SpectrumMap::~SpectrumMap() = default;

const std::string& SpectrumMap::text() const {
  return map_->text;
}

SpectrumMap SpectrumMap::parse(std::string_view given) {
  const std::string text(trim(given));
  if (text.empty())
    throw InputError("g is empty: flat, identity, power:p, an expression in l, ...");
  const auto colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const std::string rest =
      colon == std::string::npos ? "" : std::string(trim(text.substr(colon + 1)));
  const bool has_rest = colon != std::string::npos;

  const auto pure = [](std::string canonical, Function f) {
    return SpectrumMap(std::make_unique<Map>(Map{std::move(canonical), [f] { return f; }}));
  };
  if (text == "identity") return pure(text, [](const Mode& m) { return m.l; });
  if (text == "inverse") return pure(text, [](const Mode&) { return 1.0; });
  if (text == "flat") return pure(text, [](const Mode& m) { return m.lk; });
  if (name == "flat" && has_rest) {
    const double c = parameter(name, rest);
    return pure(fmt::format("flat:{}", c), [c](const Mode& m) { return c * m.lk; });
  }
  if (name == "power" && has_rest) {
    const double p = parameter(name, rest);
    return pure(fmt::format("power:{}", p),
                [p](const Mode& m) { return m.lk * std::pow(m.l / m.lk, p); });
  }
  if (name == "power") throw InputError("g = power needs its exponent: power:p");
  if (name == "table") {
    if (rest.empty()) throw InputError("g = table needs its file: table:FILE");
    return pure("table:" + rest, read_table(rest));
  }
  if (has_rest && (name == "identity" || name == "inverse"))
    throw InputError("g = {} takes no parameter, but \"{}\" was given", name, text);

  refuse_assignment(text);
  const auto function = [text]() -> Function {
    return [expression = std::make_shared<Expression>(text)](const Mode& m) {
      return (*expression)(m);
    };
  };
  function();  // throws here what does not parse
  return SpectrumMap(std::make_unique<Map>(Map{text, function}));
}

ModifiedSpectrum SpectrumMap::apply(std::span<const double> lambda, double next, bool all,
                                    Positivity positivity, double tolerance) const {
  ModifiedSpectrum result{
      {lambda.begin(), lambda.end()}, {lambda.begin(), lambda.end()}, next, tolerance};
  if (lambda.empty()) return result;
  for (std::size_t i = 0; i < lambda.size(); ++i)
    if (!std::isfinite(lambda[i])) throw RunError("eigenvalue {} of K is {}", i + 1, lambda[i]);

  const double floor = std::max(0.0, tolerance * lambda.front());
  const auto kept = [floor](double l) { return l > floor; };
  result.left_out = std::count_if(lambda.begin(), lambda.end(), std::not_fn(kept));
  if (all || !kept(next)) {
    const auto last = std::find_if(lambda.rbegin(), lambda.rend(), kept);
    result.next = last == lambda.rend() ? 0 : *last;
  }
  const Function g = map_->function();
  for (std::size_t i = 0; i < lambda.size(); ++i) {
    if (!kept(lambda[i])) continue;
    const double value = g({lambda[i], result.next, lambda.front(), static_cast<double>(i + 1)});
    const bool ok =
        std::isfinite(value) && (positivity == Positivity::positive ? value > 0 : value >= 0);
    if (!ok)
      throw InputError("g = {} is {} at lambda_{} = {}: it must be {} and finite on the spectrum",
                       text(), value, i + 1, lambda[i],
                       positivity == Positivity::positive ? "positive" : "nonnegative");
    result.g[i] = value;
  }
  return result;
}

std::vector<double> ModifiedSpectrum::ratio() const {
  std::vector<double> ratio(lambda.size(), 1.0);
  const double floor = lambda.empty() ? 0 : std::max(0.0, tolerance * lambda.front());
  for (std::size_t i = 0; i < lambda.size(); ++i)
    if (lambda[i] > floor) ratio[i] = g[i] / lambda[i];
  return ratio;
}

}  // namespace mercer::msk
