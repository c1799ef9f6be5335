#include "runtime/syscall.h"
#include "scale.h"

namespace scale {

void park(treadle::rt::G*& here) {
  const treadle::rt::ParkingEntry entry;
  here = treadle::rt::getm()->curg;
  treadle::rt::gopark([](treadle::rt::M*, treadle::rt::G*, void*) {}, nullptr,
                      treadle::rt::WaitReason::wait_group);
}

void ready(treadle::rt::G* g) {
  const treadle::rt::ParkingEntry entry;
  treadle::rt::goready(g);
}

}  // namespace scale
