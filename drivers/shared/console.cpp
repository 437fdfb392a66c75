#include "shared/console.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>

namespace mercer::drivers {
namespace {

int lost = 0;  // errno of the first failed write to standard output

std::set<std::string, std::less<>>& options() {
  static std::set<std::string, std::less<>> names;
  return names;
}

/// Is it a field that messages of the library name? Whether or not this program has the option.
bool is_field(std::string_view word) {
  constexpr std::string_view kFields =
      " advise arch augment bandwidth batch bias_std block cg_tol checkpoint "
      "checkpoint_every checkpoints choice covariance data decay_to diagnostics directions "
      "eigenfunctions eigensolver estimates eta eval g grid header image index "
      "joint_outputs json kernel latency learning_curve leverage leverage_relative limit "
      "limit_test loss machine max_iterations max_seconds memory_limit method model momentum nb "
      "network_bandwidth new_blocks nodes one_hot operator_spectrum out parametrization plot "
      "precision precondition preconditioner predict probes rank ranks ranks_per_node rate "
      "record_every refresh relative residual_refresh resume ridge ridges safeguard safety sample "
      "scale seed single solver spectrum split standardize start state steps stochastic storage "
      "subsets target test times tolerance top trace_kernel track train transductive "
      "unit_norm values_only weight_decay weight_std ";
  return kFields.find(fmt::format(" {} ", word)) != std::string_view::npos;
}

/// The option that sets a field, with its value where one value of the option does: the field's
/// name with dashes for underscores, but for some.
std::string option_of(std::string_view field) {
  std::string option(field);
  std::ranges::replace(option, '_', '-');
  if (options().contains(option)) return option;
  if (field == "method" || field == "eigensolver") return "solver";
  if (field == "checkpoints") return "checkpoint-every";
  if (field == "single") return "precision single";
  if (field == "rate" || field == "eta") return "lr";
  if (field == "times") return "at-time";
  if (field == "tolerance") return options().contains("cg-tol") ? "cg-tol" : "tol";
  if (field == "ridges" || field == "choice") return "ridge";
  if (field == "relative") return "ridge-relative";
  if (field == "transductive") return "predict transductive";
  return option;
}

}  // namespace

void print(std::FILE* stream, const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
  if ((!written || std::fflush(stream) != 0) && stream == stdout && lost == 0)
    lost = errno != 0 ? errno : EIO;
}

std::string lost_output() {
  if (lost == 0 && (std::fflush(stdout) != 0 || std::ferror(stdout) != 0))
    lost = errno != 0 ? errno : EIO;
  return lost != 0 ? std::strerror(lost) : "";
}

void know_option(const std::string& name) {
  options().insert(name);
}

std::string with_options(const std::string& message) {
  std::string text;
  std::size_t done = 0;
  for (std::size_t open = 0; (open = message.find('`', done)) != std::string::npos;) {
    const std::size_t close = message.find('`', open + 1);
    if (close == std::string::npos) break;
    const auto word = std::string_view(message).substr(open + 1, close - open - 1);
    if (!is_field(word)) {  // a backtick of a user's own name, say
      text.append(message, done, open + 1 - done);
      done = open + 1;
      continue;
    }
    text.append(message, done, open - done).append("--" + option_of(word));
    done = close + 1;
  }
  return text.append(message, done);
}

}  // namespace mercer::drivers
