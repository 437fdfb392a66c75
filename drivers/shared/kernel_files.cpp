#include "shared/kernel_files.hpp"

#include "mercer/gram/check.hpp"

namespace mercer::drivers {

gram::Source verified(const Session& session, gram::Source kernel, const data::Dataset& train,
                      const data::Dataset* test, bool matrix) {
  if (!kernel.is_stored()) return kernel;
  const auto identity = [](const char* name, const data::Dataset& set) {
    return gram::RowIdentity{fmt::format("the {} rows ({})", name, set.spec), set.hash, set.rows()};
  };
  const auto of_train = identity("training", train);
  std::vector<std::string> lines;
  if (matrix) lines = kernel.verify(session.comm(), of_train);
  if (test != nullptr)
    for (auto& line : kernel.verify_cross(session.comm(), identity("test", *test), of_train))
      lines.push_back(std::move(line));
  for (const std::string& line : lines) session.say("kernel  {}", line);
  return kernel;
}

bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X) {
  if (kernel.is_stored()) return true;
  const auto result = session.phase(
      "check", [&] { return gram::check_entries(kernel.kernel(), X, session.options().seed); });
  if (!result) return true;
  const double tolerance =
      gram::entry_tolerance<double>(gram::kernel_error_estimate(kernel.kernel(), X));
  const bool ok = result->difference <= tolerance;
  session.record().result["check_entries"] = result->difference;
  session.say("check   {}", gram::text(*result, tolerance));
  return ok;
}

}  // namespace mercer::drivers
