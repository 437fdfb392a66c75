#include "shared/kernel_files.hpp"

#include "mercer/jobs/matrix.hpp"

namespace mercer::drivers {

namespace {

gram::RowIdentity identity_of(const char* name, const data::Dataset& set) {
  return {fmt::format("the {} rows ({})", name, set.spec), set.hash, set.rows()};
}

}  // namespace

gram::Source verified(Session& session, gram::Source kernel, const data::Dataset& train,
                      const data::Dataset* test) {
  if (!kernel.is_stored()) return kernel;
  const auto of_train = identity_of("training", train);
  for (const auto& line : kernel.verify(session.comm(), of_train)) session.log("kernel", line);
  if (test != nullptr)
    for (const auto& line :
         kernel.verify_cross(session.comm(), identity_of("test", *test), of_train))
      session.log("kernel", line);
  return kernel;
}

bool check_kernel(Session& session, const gram::Source& kernel, const dist::RowBlock<double>& X) {
  const auto entries = jobs::check_entries(kernel, X, session.options().seed, session);
  if (!entries) return true;
  session.record().result["check_entries"] = entries->difference;
  session.say("check   {}", entries->text());
  return entries->good();
}

}  // namespace mercer::drivers
