package org.example
package scheduling

import scala.concurrent.{ExecutionContext, Future => Later}
import org.example.clock.*
import org.example.jobs.Job

/** How soon a job must run. */
sealed trait Urgency
object Urgency {
  case object Soon extends Urgency
  final case class At(time: Long) extends Urgency
}

enum State(val code: Int):
  case Waiting extends State(0)
  case Running, Done extends State(2)

  def isFinal: Boolean = this == Done

type Handler[A] = Job => A

given Ordering[Job] with
  def compare(left: Job, right: Job): Int = left.id.compare(right.id)

/** Runs jobs in order.
  *
  * @param clock what time it is
  */
class Scheduler(clock: Clock, val limit: Int = 10)(implicit ec: ExecutionContext) extends AutoCloseable {
  import Scheduler._

  private val queue = scala.collection.mutable.PriorityQueue.empty[Job]
  var running: Int = 0
  lazy val name: String = s"scheduler of $limit"

  def this(limit: Int) = this(Clock.system, limit)

  // Adds a job; runs it if there is room.
  @throws[IllegalStateException]("when it is closed")
  def submit[A](
      job: Job,
      urgency: Urgency = Urgency.Soon
  )(handler: Handler[A]): Later[A] = {
    def retry(times: Int): Later[A] =
      if (times > MaxRetries) Later.failed(new IllegalStateException("no more"))
      else Later(handler(job)).recoverWith { case _ => retry(times + 1) }
    queue += job
    retry(0)
  }

  def +=(job: Job): Unit = queue += job

  override def close(): Unit = queue.clear()
}

object Scheduler {
  private val MaxRetries = 3

  def apply(limit: Int): Scheduler = new Scheduler(limit)(ExecutionContext.global)

  implicit class RichJob(private val job: Job) extends AnyVal {
    def describe: String = """a "job" { """ + job.id
  }
}

extension (job: Job)
  def isLate(now: Long): Boolean = job.due < now

@main def run(args: String*): Unit =
  val scheduler = Scheduler(args.length)
  for
    arg <- args
    job = Job.parse(arg)
  do scheduler.submit(job)(_.id)

package object syntax {
  val second = 1000L
}
