// The machine's coefficients: measured by all ranks at once, and read from files.
#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "mercer/base/error.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/plan/machine.hpp"

namespace mercer::plan {
namespace {

using comm::Communicator;

/// A file of the first rank's, seen by all, gone at the end.
class File {
 public:
  explicit File(const std::string& text) {
    const auto world = Communicator::world();
    path_ = world.broadcast(
        std::filesystem::temp_directory_path() / ("mercer-machine-" + std::to_string(getpid())), 0);
    if (world.root()) std::ofstream(path_) << text;
    world.barrier();
  }
  ~File() {
    Communicator::world().barrier();
    if (Communicator::world().root()) std::remove(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string refusal(const std::string& text) {
  const File file(text);
  try {
    read_machine(Communicator::world(), file.path());
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MachineMeasured, HasPositiveCoefficientsThatAllRanksAgreeOn) {
  const auto world = Communicator::world();
  kernel::Options options;
  options.kind = kernel::Kind::gaussian;
  const auto kernel = kernel::make(options);
  const Timer timer;
  const Machine machine = measure_machine(world, kernel.get(), 50);
  EXPECT_EQ(machine.ranks, world.size());
  EXPECT_EQ(machine.kernel, kernel->text());
  int compared = 0;
  const auto object = machine.json();
  for (const auto& [name, value] : object.items()) {
    if (!value.is_number()) continue;
    const double mine = value;
    EXPECT_TRUE(mine > 0 && std::isfinite(mine)) << name;
    EXPECT_EQ(world.all_reduce(mine, comm::Op::min), world.all_reduce(mine, comm::Op::max)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 17);
  // Rates of machines of this decade, whatever else runs beside.
  EXPECT_TRUE(machine.gemm > 1e7 && machine.gemm < 1e13) << machine.gemm;
  EXPECT_TRUE(machine.element > 1e-12 && machine.element < 1e-4) << machine.element;
  EXPECT_LT(machine.skinny, 3 * machine.gemm);
}

TEST(MachineFiles, HoldWhatWasWritten) {
  Machine machine;
  machine.gemm = 1.25e10, machine.element = 3e-9, machine.kernel = "linear()", machine.ranks = 12;
  for (const bool record : {false, true}) {
    nlohmann::ordered_json object = machine.json();
    if (record) object = {{"driver", "mercer-bench"}, {"result", {{"machine", machine.json()}}}};
    const File file(object.dump());
    const Machine read = read_machine(Communicator::world(), file.path());
    EXPECT_EQ(read.json(), machine.json());
    EXPECT_EQ(read.source, file.path());
  }
}

TEST(MachineFiles, ThatCannotServeAreRefusedOnAllRanks) {
  EXPECT_NE(refusal("not json").find("is no JSON object"), std::string::npos);
  EXPECT_NE(refusal("[1, 2]").find("is no JSON object"), std::string::npos);
  EXPECT_NE(refusal("{}").find("gemm"), std::string::npos);
  auto object = Machine{}.json();
  object["latency"] = -1;
  EXPECT_NE(refusal(object.dump()).find("latency"), std::string::npos);
  object["latency"] = "fast";
  EXPECT_NE(refusal(object.dump()).find("latency"), std::string::npos);
  const std::pair<const char*, nlohmann::ordered_json> wrong[] = {{"ranks", "two"}, {"ranks", 0},
                                                                  {"ranks", 1.5},   {"nodes", -1},
                                                                  {"nodes", 5e18},  {"kernel", 3}};
  for (const auto& [name, value] : wrong) {
    object = Machine{}.json();
    object[name] = value;
    EXPECT_NE(refusal(object.dump()).find(name), std::string::npos) << object.dump();
  }
  EXPECT_THROW(read_machine(Communicator::world(), "/no/such/file"), InputError);
}

}  // namespace
}  // namespace mercer::plan
