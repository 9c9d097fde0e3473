"""The words that the corpus of the tiny base model is made of: names, things, places and phrases, by subject."""


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.replace("\n", "|").split("|") if phrase.strip()]


FIRST_NAMES = """Anna Ben Clara David Ella Frank Grace Hugo Ines Jack Kate Leo Maria Nina Omar Paul Rosa Sam Tom Vera
Will Zoe Ali Bella Carl Dora Emil Fay Ivan Julia Lucy Mark Noah Olga Peter Ruth Simon Tara Uma Victor""".split()
LAST_NAMES = """Baker Cook Diaz Evans Fox Green Hill Jones Keller Lopez Moore Novak Page Reed Roth Said Stone Turner
Wall Winter Young Adams Bell Carter Dean Ford Gray Hunt King Lane Marsh Nash Parker Rice Shaw Wood""".split()
CITIES = """Leeds Bristol York Cardiff Dublin Oxford Glasgow Bath Derby Exeter London Paris Rome Berlin Madrid Vienna
Oslo Lisbon Prague Hull Dover Luton Perth Norwich Boston Kent Essex Turin Lyon Bonn""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
COLOURS = "red blue green yellow black white grey brown orange pink dark light".split()
THINGS = (
    "kettle, toaster, blender, coffee machine, rice cooker, hair dryer, vacuum cleaner, electric fan, alarm clock, radio, "
    "speaker, keyboard, monitor, printer, camera, desk lamp, charger, iron, jacket, sweater, raincoat, dress, shirt, "
    "winter coat, skirt, wool hat, suit, blouse, cardigan, vest, bookshelf, armchair, office chair, mirror, coffee table, "
    "wardrobe, bed frame, stool, desk, sofa, bench, cupboard, tent, backpack, sleeping bag, water bottle, suitcase, "
    "umbrella, cool box, travel bag, guitar, violin, drum, piano, football, tennis racket, bicycle, helmet, scooter, "
    "car, boat, map, book, novel, diary, pencil, pen, ruler, bag, basket, bucket, ladder, hammer, saw, drill, spade, rake, "
    "garden hose, flower pot, candle, clock, watch, ring, necklace, scarf, belt, glove, sock, boot, shoe, sandal, cup, "
    "mug, plate, bowl, spoon, fork, knife, pan, pot, oven, fridge, freezer, cooker, tea towel, blanket, pillow, curtain, "
    "carpet, rug, picture frame, vase, doll, puzzle, kite, ball, toy train, phone, laptop, tablet, screen, cable, battery, "
    "torch, heater, door handle, window, shelf, drawer, box, tin, jar, bottle, glass, brush, comb, towel, soap, razor, "
    "mattress, cot, pram, rope, net, fishing rod, ski, sledge, skate, whistle, trumpet, flute, microphone, television, "
    "dishwasher, washing machine, food mixer, juicer, scale, thermometer, telescope, garden chair, picnic basket"
).split(", ")

# Each everyday subject: what happens ("states") and what people ask for or do ("wishes"). {thing} is an article.
SUBJECTS: dict[str, dict[str, list[str]]] = {
    "post": {
        "states": _phrases("""nothing has come in the mail|the parcel with the {thing} is late|the courier never rang|the package is lost
the driver went to the wrong door|a neighbour took the parcel|the van is delayed|the {thing} is still on the road
the tracking says shipped|the {thing} has not arrived|the depot has no parcel|the postman left a card|the {thing} is still at the post office
the shipment went to the old address|nobody delivered the {thing}|the carton was empty|we wait for the package
the tracking number is missing|the delivery is late again|the {thing} never turned up|I never received the {thing}
the parcel was dispatched late|the {thing} has not been shipped|somebody else signed for the parcel|we are still waiting for the {thing}
the {thing} was not in the box|the warehouse has not sent the {thing}|the courier lost the {thing}"""),
        "wishes": _phrases("""track the parcel|ship the {thing} again|find the package|deliver the {thing}|send it to our new address|ask the courier
leave the {thing} with a neighbour|bring the parcel on another day|say when the {thing} will arrive|pick up the parcel at the shop
hold the package at the depot|say where the {thing} is|call the van back|hurry up with the shipping|know the delivery date"""),
    },
    "repairs": {
        "states": _phrases("""the {thing} is broken|the {thing} has a crack|the {thing} does not work|the {thing} stopped working|the {thing} gave off smoke
the handle came off|the {thing} is faulty|the {thing} leaks|the {thing} came damaged|there is a hole in the {thing}|a leg of the {thing} broke
the cable is torn|the {thing} makes a strange noise|the {thing} is scratched|the button is stuck|the screen stays black
the {thing} fell to pieces|the {thing} turns itself off|the battery is dead|the {thing} gets too hot|a screw is missing
the {thing} is bent|there is a dent in the {thing}|its zip tore|the {thing} shows an error|the {thing} has a fault|there are stains on the {thing}"""),
        "wishes": _phrases("""repair the {thing}|mend the {thing}|fix the {thing}|look at the fault|send a spare part|check the cable|call a technician
use the guarantee|have the {thing} repaired|ask about the warranty|unplug the {thing}|put the {thing} together again|find out what is wrong"""),
    },
    "returns": {
        "states": _phrases("""the {thing} is going back|we do not want the {thing}|I changed my mind about the {thing}|the money has not come back
the {thing} was returned unused|I do not need the {thing} any more|we already have one|the refund is missing|they refused to take the {thing} back
the {thing} is still sealed|I am not happy with the {thing}|the repayment is late|some of the money has not been repaid
the {thing} was a present I cannot keep|I have sent the {thing} back|it was cheaper somewhere else"""),
        "wishes": _phrases("""return the {thing}|send the {thing} back|give the {thing} back|get my money back|have the money refunded|pay me back
take the {thing} back|refund the price|bring the {thing} back to the shop|get a refund|collect the {thing} and repay it
print the return label|withdraw from the purchase|repay the full price"""),
    },
    "sizes": {
        "states": _phrases("""the {thing} is too small|the {thing} is too big|the {thing} is the wrong size|the {thing} came in {colour}
it is the wrong colour|the {thing} does not fit|I wanted the {colour} one|the {thing} is too long|the {thing} is too wide
they gave me the wrong {thing}|I chose the {colour} one, not the {colour} one|it is the wrong model|it is the left one, not the right one
a medium is too tight|the sleeves are too short|I picked the wrong type"""),
        "wishes": _phrases("""swap the {thing}|get a larger size instead|take a smaller one|exchange the {thing}|change it for the {colour} one
replace the {thing} by the right one|try one size up|trade it for another model|have it in another colour|get the correct {thing}
exchange this for the {colour} {thing}|change the size"""),
    },
    "bills": {
        "states": _phrases("""the bill is wrong|the invoice has not come|I was charged twice|the payment failed|the discount is missing|the price was too high
the card was charged {money}|the receipt is lost|the voucher did not work|the fee was never mentioned|the tax is wrong|the bank took {money}
the statement shows {money}|the account is empty|the bill was paid long ago|the amount is not right|the code took nothing off
a reminder came for a paid bill|the coupon was not counted"""),
        "wishes": _phrases("""send an invoice|correct the bill|pay by card|check the payment|see the receipt|explain the charge|write the company on the invoice
pay in parts|use a voucher|take off the discount|stop the charges|change the payment method|look at the account|open the bill as a file"""),
    },
    "facts": {
        "states": _phrases("""I wonder how heavy the {thing} is|we cannot decide on a {thing}|the manual does not say it|I am thinking about a {thing}
we would like to know more|I have a question about the {thing}|I read about the {thing}|we compare two of them|I saw a {thing} in a window"""),
        "wishes": _phrases("""know how big the {thing} is|learn what the {thing} is made of|hear whether the {thing} is in stock|know how to clean the {thing}
find the manual|know how much the {thing} weighs|hear which one is better|know if the {thing} is suitable for children
know how long the {thing} lasts|ask whether there is a {thing} in {colour}|see the measurements|know which tools it needs
find out how loud the {thing} is|ask who made the {thing}"""),
    },
    "travel": {
        "states": _phrases("""the train to {city} is full|we missed the plane|the hotel has no room|the ticket is for the wrong day|the bus left early|our flight goes on {day}
the border is closed|I lost my passport|the road to {city} is long|we forgot the {thing} at the station"""),
        "wishes": _phrases(
            """book a room in {city}|change the flight|take the night train|rent a car|cancel the trip|see the old town|find a seat by the window|pack the {thing}"""
        ),
    },
    "food": {
        "states": _phrases(
            """the soup is cold|the bread is fresh|we have no milk|the cake was sweet|the table is set|the fish smells bad|dinner is ready|the oven is hot"""
        ),
        "wishes": _phrases(
            """cook the rice|bake a cake|try the cheese|eat at home|buy some apples|make tea for everybody|book a table|wash the plates"""
        ),
    },
    "weather": {
        "states": _phrases(
            """it rains in {city}|the wind is strong|the sun is out|there is snow on the hills|the night was cold|fog lies over {city}|a storm is near"""
        ),
        "wishes": _phrases(
            """take the umbrella|stay at home|close the windows|wait for the sun|walk in the rain|look at the clouds"""
        ),
    },
    "school": {
        "states": _phrases(
            """the lesson starts late|the test was hard|my daughter is ill|the teacher was kind|the homework is lost|the class goes to {city}|the pupils were loud"""
        ),
        "wishes": _phrases(
            """learn the words|read the chapter|write a letter|ask the teacher|hand in the homework|sit in the front|count to a hundred"""
        ),
    },
    "sport": {
        "states": _phrases(
            """our team lost|the match was long|the race starts on {day}|she won the cup|the field was wet|he ran a good time|the coach is angry"""
        ),
        "wishes": _phrases(
            """train on {day}|play in the garden|watch the match|buy new shoes|swim every week|join the club|win the race"""
        ),
    },
    "health": {
        "states": _phrases(
            """my back hurts|the doctor was late|he has a cold|the medicine helps|she broke her arm|the baby sleeps well|I feel tired"""
        ),
        "wishes": _phrases(
            """see a doctor|rest for a week|take the medicine|call the hospital|drink more water|make an appointment|sleep early"""
        ),
    },
    "garden": {
        "states": _phrases(
            """the roses are out|the grass is high|the apple tree fell|the birds are back|the soil is dry|the fence is old|there are weeds everywhere"""
        ),
        "wishes": _phrases(
            """cut the grass|plant a tree|water the flowers|paint the fence|pick the apples|dig a hole|feed the birds"""
        ),
    },
    "music": {
        "states": _phrases(
            """the concert was loud|the song is old|the band plays on {day}|the choir needs singers|the {thing} is out of tune|the hall in {city} was full"""
        ),
        "wishes": _phrases(
            """hear the song again|learn the guitar|sing in the choir|buy two tickets|turn down the music|practise every day"""
        ),
    },
    "work": {
        "states": _phrases(
            """the meeting is on {day}|the report is late|my boss is away|the office is closed|we have a new colleague|the plan was changed|the lift is out of order"""
        ),
        "wishes": _phrases(
            """finish the report|plan the meeting|answer the mails|take a day off|call the customer|move to {city}|sign the contract"""
        ),
    },
}

GREETINGS = _phrases(
    """Hello,|Hi,|Good morning,|Dear team,|Good evening,|Hi there,|Dear all,|Hello {first},|Sorry to bother you,|Excuse me,"""
)
REQUESTS = _phrases("""Please {wish}.|Could you {wish}?|Can you {wish}?|I would like to {wish}.|We want to {wish}.|How can I {wish}?|Would you {wish}?
May I {wish}?|I have to {wish}.|Is it possible to {wish}?|What do I need to {wish}?|We need to {wish}.|I hope to {wish}.|Do you know how to {wish}?
Somebody should {wish}.|I ask you to {wish}.|Kindly {wish}.|Can we {wish}?|I want to {wish}.|Will you {wish}?|They promised to {wish}.
I rather want to {wish}.|It would be great to {wish}.|Who can {wish}?|When can you {wish}?|I wonder if you could {wish}.""")
STATEMENTS = _phrases("""{state}.|I am writing because {state}.|Since {day} {state}.|It seems that {state}.|Sadly {state}.|As you know, {state}.
We noticed that {state}.|I see that {state}.|{state}, what a pity.|I am sorry to say that {state}.|{state}, and it is not the first time.
On {day} {state}.|My sister says {state}.|I think {state}.|{state}, can that be right?|Why is it that {state}?|{state}. I do not understand it.
In {city} {state}.|{first} told me that {state}.|{state}, although I was told something else.|{state}. Is that normal?""")
HURRIED = _phrases("""It is urgent.|This is very urgent!|Please do it today.|As soon as possible, please.|I need it by {day}.|Immediately, please!|Right away, please.
It cannot wait, we leave tomorrow.|This is my third message!|I have asked twice.|Answer at once.|It is dangerous!|Please hurry.|I need an answer today.
We must have it by {day}!|Nobody answers me!|I have called four times.|This is the last reminder.|Urgently needed!|I cannot wait any longer.|The guests come tomorrow.
I have waited for weeks and lost my patience.|Now, please!|Today is the last day.|Someone may get hurt.|Call me back right away.""")
CALM = _phrases("""Thank you.|Thanks in advance.|There is no hurry.|Kind regards, {first}|Have a nice day.|Take your time.|Best wishes, {first} {last}|Any day is fine.
Many thanks.|I am curious.|That would be kind.|It can wait.|Greetings from {city}.|I look forward to your answer.|We bought it last {day}.""")

# Everyday words for the copying exercises, so that each has been met whatever the subject.
EVERYDAY_WORDS = """
able about above account across add address adult after again against age ago agree air all almost alone already also always
amount and animal another answer any apple area arm around arrive art ask attempt away baby back bad bank bar base bath beach bear
beautiful because become bed been before begin behind believe below beside best better between big bill bird bit blood blow board body
bone both bottom branch bread break bridge bright bring brother build burn bus busy buy call can card care carry case cat catch
category cause centre certain chain chair chance change charge cheap check child choose church circle class clean clear climb close cloth
cloud coast cold collect colour come common company complete condition confirm contain cook cool copy corner correct cost count country cover
cross cry cup current customer cut dance danger date daughter dead deal deep defect delivery depend describe design detail different difficult direct
discount distance divide doctor dog dollar door double doubt down draw dream drink drive drop dry during each early earth east easy eat edge
effect either empty end enjoy enough enter equal error even evening event every exact example except exchange expect expensive explain eye face fact
fair fall family far farm fast father fault fear feel few field fight fill final find fine finger finish fire first fish fit flat floor
flower fly follow food foot force forest forget form forward free fresh friend front fruit full game garden gate general gift girl give
glad go gold good great ground group grow guess hand happen happy hard head health hear heart heavy help here high history hold home
hope horse hospital hot hour house how hundred hurry idea important include increase inside instead interest invoice island job join jump just
keep key kind kitchen know lake language large last late laugh law lead learn least leave left leg less letter level life lift light like line
list listen little live long look lose lost lot love low machine mail make man many market matter may mean measure meet member mention message
metal method middle mile milk mind minute miss mistake model money month moon morning most mother mountain mouth move much music must name narrow
nature near need neighbour never new news next night noise none noon normal north nose note nothing notice number ocean off offer office often
oil old once only open opposite or order other out outside over own pack page paint pair paper parcel part party pass past path pay peace people
perhaps period person picture piece place plain plan plant play please point poor possible post power present press price print problem
product promise proof protect pull purchase push put quality question quick quiet quite rain raise reach read ready real reason receipt receive
record refund region remember repair repeat replace reply report request rest result return rich ride right ring rise river road rock roll room
round row rule run safe same sand save say school science sea search season seat second see seem sell send sense separate serve service set
settle several shape share sharp ship shop short should shout show side sign silent simple since sing sister sit size skill skin sky sleep
slow small smell smile snow so soft some son soon sort sound south space speak special speed spend spring square stand star start station
stay step still stone stop store storm story straight strange street strong student subject such sudden sugar summer sun supply support sure
surprise swim system table tail take talk tall taste tax teach team tell term test than thank then there thick thin think third thought
thousand through throw ticket till time tired together tomorrow tone top total touch toward town track trade train travel tree trip trouble true
trust try turn type under understand unit until urgent use usual valley value various version very view village visit voice voucher wait walk wall
want war warm warranty wash waste water way weak wear weather week weight well west what wheel when where whether which while white who whole why wide wild
will win wind window winter wire wish with without woman wonder wood word work world worry worth write wrong year yellow yes yesterday young
abroad according accounting added adults afraid afternoon allowed anybody anything apart available badly bare batteries became beginner bigger birthday
booked books boy brand breaks builders burnt burst but buying cabin centimetres charging collapsed comes confirmation contact costume court credit customs
darker days difference disappointed display dropped due ends everything exactly expected expenses express extra finally fits five following found given
giving gone got grown had half handed happened happens holiday hours husband included instalments insurance its kept knows later lawyer leaking leather
leaving lighter link looked lying manage material meant mine minutes mixed moment moved needing neighbours nine nuts older online onto opened ordered original packed
packing passes pattern payments pays percent photos pictures plastic plug postage prefer react really reasons recommend refuse rely replacement replied
runs sale satisfied screws seam seen sending seven seventy ships shock shops shorter shown shuts single sitting sleeve sold sparks speaking split started
status stayed strap sum supposed swapped switched taken takes telephone ten thirty three threw tonight transfer tried twenty unopened unpacked unpaid
used using usually valid wants waterproof website wedding weekend whatever whom withdrawal within wondering wooden worked works worn wrapped wrote years yet yours
""".split()
